"""Reconstructions: clean, corrupted, reconstructed, the error, and what the prior generates."""

from typing import ClassVar

import torch

from ae_lightning.core.types import Pair
from ae_lightning.model import Model

from .drawing.images import as_colours, grid_figure, is_image, limits_of, scaled, signed_colours
from .drawing.theme import Figure, drawable
from .drawing.vectors import clouds_figure
from .picture import PictureCallback, picture

FULL_COLOUR = 0.5  # of the data's range: an error drawn in full colour, at every step


@picture
def reconstructions(model: Model, pair: Pair, columns: int = 10) -> Figure:
    """Draw x, x̃, r(x̃), the error r(x̃) − x and, for a stochastic posterior, samples of the prior.

    Images are drawn in rows, vectors as scatters in the plane of their two leading directions. The
    samples are means of p(x|z).

    Args:
        pair: the examples, x and x̃ (B, *S); the error is a mean over all.
        columns: how many images to draw; vectors are all drawn.
    """
    r = model.reconstruct(pair.x_tilde)
    mse = float(drawable((r - pair.x).square().mean(), "the reconstruction"))
    if is_image(model.shape):
        pair, r = Pair(*(t[:columns] for t in pair)), r[:columns]
    rows = {"clean": pair.x}
    if not pair.x_tilde.equal(pair.x):
        rows["corrupted"] = pair.x_tilde
    rows["reconstructed"] = r
    samples = {"samples": model.sample(len(pair.x))} if model.held_to_prior else {}
    if not is_image(model.shape):
        clouds = rows | samples
        side = min(2.5, 7.1 / len(clouds))
        title = f"Reconstructions: mean squared error {mse:.4g} per value"
        figure = clouds_figure(clouds, side * len(clouds) + 0.3, side + 0.5, title)
        for axes in figure.axes:
            axes.locator_params(nbins=3)
        return figure
    limits = limits_of(model, pair.x)
    rows = {name: scaled(images, limits) for name, images in rows.items()}
    # Errors in colour cannot be read: several channels are drawn by their mean.
    error = (rows["reconstructed"] - rows["clean"]).mean(1, keepdim=True)
    rows["error"] = signed_colours(error, FULL_COLOUR)
    rows |= {name: scaled(images, limits) for name, images in samples.items()}
    colours = [as_colours(row.cpu()) for row in rows.values()]
    title = f"Reconstructions: mean squared error {mse:.4f} per value"
    return grid_figure(torch.stack(colours), title, rows=list(rows))


class Reconstructions(PictureCallback):
    """Draw `reconstructions` of fixed validation pairs."""

    name: ClassVar[str] = "reconstructions"
    caption: ClassVar[str] = (
        "Validation examples, what the model was given of them, and what it makes of that. In the "
        "row of errors, red is too bright and blue too dark, in full colour from half the range of "
        "values on. A good denoiser restores strokes and edges; a poor one blurs everything. "
        "Samples are means of p(x|z) at draws of the prior."
    )
    caption_of_vectors: ClassVar[str] = (
        "Validation examples, what the model was given of them, and what it makes of that, in the "
        "plane in which the examples vary most. Reconstructions lie where the model has learned "
        "that the data are; a good denoiser brings corrupted points back there. Samples are means "
        "of p(x|z) at draws of the prior."
    )
    examples: ClassVar[int] = 200

    def draw(self, model: Model, pair: Pair) -> Figure:
        return reconstructions(model, pair)
