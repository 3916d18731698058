"""The score of a denoising autoencoder of images: as images, and in a plane of their space."""

import torch
from torch import Tensor

from ae_lightning.core.types import Pair
from ae_lightning.geometry import score
from ae_lightning.model import Model

from . import images
from .fields import field, plane_of_three, reach, show_arrows, show_cells, show_corners
from .theme import COLOURS, Axes, Figure
from .vectors import label_axes

ARROWS = 20  # along a side of the field
IMAGES = 6


def score_images(model: Model, pair: Pair, sigma: float) -> Figure:
    """Draw x, x̃, the score s and x̃ + σ²s as images, and s in the plane of three of them."""
    x, x_tilde = pair.x[:IMAGES], pair.x_tilde[:IMAGES]
    s = score(model, x_tilde, sigma)
    limits, limit = images.limits_of(model, x), images.extent(s)
    lines = {
        "x": images.scaled(x, limits),
        "x̃ = x + σε": images.scaled(x_tilde, limits),
        "score s": images.signed_colours(s, limit),
        "x̃ + σ²s": images.scaled(x_tilde + sigma**2 * s, limits),
    }
    shown = images.tile(torch.stack([images.as_colours(line.cpu()) for line in lines.values()]))
    side, scale = images.LETTER * 11, images.whole_scale(shown.shape[1], 380)
    width, height = round(shown.shape[1] * scale), round(shown.shape[0] * scale)
    colours = "grey is 0" if x.shape[1] == 3 else "red above, blue below 0"
    name = f"s: {colours}; ±{limit:.2g} per unit"
    taken = side + max(width, round(9.2 * len(name)))
    figure = images.pixel_figure(taken + 450, max(height, 290) + 124)
    axes = images.place(figure, side, 70, width, height)
    images.show_image(axes, shown, sharp=scale >= 1)
    cell = shown.shape[0] // 4 + 1
    images.write_rows(axes, [(i + 0.5) * cell - 1 for i in range(4)], list(lines))
    axes.set_title(name)
    title = rf"Score $s = (r(\tilde x) - \tilde x)/\sigma^2$ at $\sigma$ = {sigma:g}"
    figure.suptitle(title, x=0.01, ha="left")
    _show_plane(figure, images.place(figure, taken + 90, 70, 270, 270), model, pair, sigma)
    return figure


def _show_plane(figure: Figure, axes: Axes, model: Model, pair: Pair, sigma: float) -> None:
    onto, corners, places = plane_of_three(pair.x, pair.y)
    grid = field(pair.x, reach(sigma, onto[0].numel()), onto, corners, ARROWS)
    s = grid.evaluate(lambda x: score(model, x, sigma))
    image = show_cells(axes, grid, sigma**2 * s.flatten(2).norm(dim=2), "Greys")
    image.set_alpha(0.5)
    box = axes.get_position()
    beside = figure.add_axes((box.x1 + 0.01, box.y0, 0.012, box.height))
    figure.colorbar(image, cax=beside, label="‖r(x) − x‖ (input units)")
    arrows = grid.within(s)
    show_arrows(axes, grid, arrows, COLOURS[0], float(arrows[grid.seen].norm(dim=1).max()))
    _widen(axes, corners)
    examples = pair.x[places]
    show_corners(axes, images.scaled(examples, images.limits_of(model, examples)), corners)
    axes.set_title("in the plane of three examples")
    label_axes(axes, ("towards a second example (input units)", "towards a third (input units)"))


def _widen(axes: Axes, corners: Tensor) -> None:
    """Keep a tenth of the axes free around the corners (3, 2), for their images."""
    low, high = corners.amin(0), corners.amax(0)
    half = max(axes.get_xlim()[1] - axes.get_xlim()[0], 1.25 * float((high - low).max())) / 2
    x, y = ((low + high) / 2).tolist()
    axes.set(xlim=(x - half, x + half), ylim=(y - half, y + half))
