"""Images in grids, sharp to the pixel, and signed ones on a scale symmetric about 0."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ae_lightning.model import Model

from .theme import COLOURS, DIVERGING, DOTS_PER_INCH, INK, Axes, Figure, Room, drawable, new_figure

LETTER = 8  # about as many pixels as a small letter takes


def is_image(shape: Sequence[int]) -> bool:
    """Whether data of this shape is drawn as images: (C, H, W)."""
    return len(shape) == 3


def limits_of(model: Model, images: Tensor) -> tuple[float, float]:
    """The values that are drawn black and white: the data's range, or else that of the images."""
    if model.value_range is not None:
        return model.value_range
    values = drawable(images, "an image")
    low, high = float(values.min()), float(values.max())
    return low, high if high > low else low + 1


def scaled(images: Tensor, limits: tuple[float, float]) -> Tensor:
    """Scale images from their limits to [0, 1]."""
    return (images - limits[0]) / (limits[1] - limits[0])


def as_colours(images: Tensor) -> Tensor:
    """Images (*, C, H, W) in three channels: colours as they are, of others the first in grey."""
    if images.shape[-3] == 3:
        return images
    return images.narrow(-3, 0, 1).expand(*images.shape[:-3], 3, *images.shape[-2:])


def tile(images: Tensor, limits: tuple[float, float] = (0.0, 1.0)) -> NDArray[np.float32]:
    """Lay images (R, N, C, H, W) out in R rows, a pixel apart: (R·(H + 1) − 1, N·(W + 1) − 1, C).

    Values are scaled from their limits to [0, 1]. Three channels are shown as colours; otherwise
    the first is shown in grey.

    >>> tile(torch.zeros(1, 2, 1, 1, 1)).squeeze()
    array([0., 1., 0.], dtype=float32)
    """
    x = scaled(drawable(images, "a grid of images"), limits)
    x = x if x.shape[2] == 3 else x[:, :, :1]
    x = torch.nn.functional.pad(x.clamp(0, 1), (0, 1, 0, 1), value=1.0)
    x = x.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return x[:-1, :-1].numpy()  # type: ignore[no-any-return]


def grid_figure(
    images: Tensor,
    title: str,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    limits: tuple[float, float] = (0.0, 1.0),
    names: tuple[str, str] = ("", ""),
) -> Figure:
    """Return a figure of images (R, N, C, H, W) in a grid, its rows and columns labelled.

    Every pixel of an image takes a whole number of the picture's, so that it is sharp. The limits
    are the values that are black and white; the names, those of the columns and of the rows.
    """
    shown = tile(images, limits)
    R, N, _, H, W = images.shape
    scale = whole_scale(shown.shape[1])
    width, height = round(shown.shape[1] * scale), round(shown.shape[0] * scale)
    left = 6 + LETTER * max(map(len, rows), default=0) + (30 if names[1] else 0)
    below = 6 + (20 if columns else 0) + (22 if names[0] else 0)
    lines = title.split("\n")
    above, needed = 10 + 20 * len(lines), left + LETTER * 1.3 * max(map(len, lines))
    figure = pixel_figure(max(left + width + 6, needed), above + height + below)
    axes = place(figure, left, above, width, height)
    show_image(axes, shown, sharp=scale >= 1)
    axes.set_title(title)
    write_rows(axes, (np.arange(R) + 0.5) * (H + 1) - 1, rows)
    write_columns(axes, (np.arange(N) + 0.5) * (W + 1) - 1, columns)
    middle, low = shown.shape[1] / 2 - 0.5, shown.shape[0] - 0.5
    _write(axes, (middle, low), (0, -26 if columns else -6), names[0], va="top", fontsize=9)
    outwards = -6 - LETTER * max(map(len, rows), default=0)
    _write(axes, (-0.5, low / 2), (outwards, 0), names[1], ha="right", rotation=90, fontsize=9)
    return figure


def write_rows(axes: Axes, at: Iterable[float], names: Sequence[str]) -> None:
    """Name the rows of a drawn grid on its left, with texts: ticks would take ten times as long."""
    for y, name in zip(at, names, strict=False):
        _write(axes, (-0.5, y), (-6, 0), name, ha="right")


def write_columns(
    axes: Axes, at: Iterable[float], names: Sequence[str], above: bool = False
) -> None:
    """Name the columns of a drawn grid, below or above it."""
    edge = -0.5 if above else max(axes.get_ylim())
    for x, name in zip(at, names, strict=False):
        _write(axes, (x, edge), (0, 6 if above else -6), name, va="bottom" if above else "top")


def frame(axes: Axes, row: int, column: int, size: Sequence[int]) -> None:
    """Frame one image of a drawn grid of images of this size (H, W), in the gaps around it."""
    from matplotlib.patches import Rectangle

    H, W = size
    corner = column * (W + 1) - 1, row * (H + 1) - 1
    how = {"fill": False, "edgecolor": COLOURS[1], "linewidth": 1.6, "clip_on": False}
    axes.add_patch(Rectangle(corner, W + 1, H + 1, **how))


def _write(
    axes: Axes, at: tuple[float, float], beside: tuple[float, float], text: str, **how: Any
) -> None:
    """Write near a place of a grid, so many pixels to its right and above it."""
    how = {"ha": "center", "va": "center", "fontsize": 8, "color": INK} | how
    if text:
        axes.annotate(text, at, beside, textcoords="offset pixels", annotation_clip=False, **how)


def whole_scale(width: int, wanted: int = 640) -> float:
    """The factor that scales so many pixels to about the wanted width: whole, unless below 1."""
    if width > 1.5 * wanted:
        return wanted * 1.5 / width
    return max(1 if width > 0.78 * wanted else 2, round(wanted / width))


def pixel_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in pixels, laid out by hand."""
    # A hair more, since Agg rounds down.
    w, h = ((int(side) + 0.01) / DOTS_PER_INCH for side in (width, height))
    return new_figure(w, h, room=Room(0, 0, 0, 0))


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at these pixels, counted from the figure's upper left corner."""
    w, h = (side * figure.dpi for side in figure.get_size_inches())
    return figure.add_axes((int(left) / w, 1 - int(top + height) / h, width / w, height / h))


def show_image(axes: Axes, image: NDArray[np.float32], sharp: bool = False) -> None:
    """Draw one image (H, W, C) with values in [0, 1], without axes; in grey if C = 1.

    If each of its pixels takes a whole number of the picture's, it is `sharp` without smoothing.
    """
    interpolation = "nearest" if sharp else None  # None: matplotlib smooths as it sees fit
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation=interpolation)
    axes.set_axis_off()


def extent(images: Tensor) -> float:
    """The largest magnitude, leaving out the outermost 1/200 of all values; never 0."""
    flat = drawable(images, "an image").abs().flatten()
    rank = max(1, round(0.995 * len(flat)))
    return float(flat.kthvalue(rank).values) or float(flat.max()) or 1.0


def signed_colours(images: Tensor, limit: float) -> Tensor:
    """Map signed images (N, C, H, W) to colours (N, 3, H, W) in [0, 1], with 0 in the middle.

    One channel is blue below 0 and red above; three are colours about mid-grey.
    """
    from matplotlib import colormaps

    shown = (drawable(images, "an image") / limit).clamp(-1, 1) / 2 + 0.5
    if shown.shape[1] == 3:
        return shown
    rgb = colormaps[DIVERGING](shown[:, 0].numpy())[..., :3]  # (N, H, W, 3)
    return shown.new_tensor(rgb).permute(0, 3, 1, 2)
