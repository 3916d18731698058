"""Samples of the prior, decoded."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.model import Model

from .drawing.images import grid_figure, is_image, limits_of
from .drawing.theme import Figure
from .drawing.vectors import clouds_figure
from .picture import PictureCallback, picture

IN_A_ROW = 12
MOST = 144  # in a grid


@picture
def prior_samples(model: Model, x: Tensor, n: int = 72) -> Figure:
    """Draw means of p(x|z) at draws z of the prior; vectors are drawn beside the data.

    They are means, since a draw of p(x|z) adds noise to every element.

    Args:
        x: examples (B, *S) that set the scale.
        n: how many images to draw; of vectors, there are as many as examples.

    Raises:
        UsageError: if nothing holds the codes to the prior.
    """
    if (reason := without_prior(model)) is not None:
        raise UsageError(reason)
    if is_image(model.shape):
        samples = model.sample(n // IN_A_ROW * IN_A_ROW).unflatten(0, (-1, IN_A_ROW))
        title = "Samples: means of p(x|z), z ~ p(z)"
        return grid_figure(samples, title, limits=limits_of(model, x))
    clouds = {"data": x, "means of p(x|z), z ~ p(z)": model.sample(len(x))}
    return clouds_figure(clouds, 6.4, 3.4, "")


@picture
def sample_grid(model: Model, x: Tensor, title: str) -> Figure:
    """Draw the first samples (n, *S), at most `MOST`, in about as many rows as columns."""
    x = x[:MOST]
    columns = math.ceil(math.sqrt(len(x)))
    low, high = limits_of(model, x)
    blank = x.new_full((-len(x) % columns, *x.shape[1:]), high)
    images = torch.cat([x, blank]).unflatten(0, (-1, columns))
    return grid_figure(images, title, limits=(low, high))


def without_prior(model: Model) -> str | None:
    """Why samples of the prior say nothing about this model, or None if they do."""
    if model.held_to_prior:
        return None
    return "prior_samples needs codes that are held to the prior, by a Rate or an MMD."


class PriorSamples(PictureCallback):
    """Draw `prior_samples`, at the same draws of the prior at every step."""

    name: ClassVar[str] = "prior_samples"
    caption: ClassVar[str] = (
        "What the model makes up: the decoder's means at draws of the prior, the same draws at "
        "every step. It is right if they look like the data and differ from each other; images "
        "between two kinds mean that the codes leave parts of the prior empty."
    )
    caption_of_vectors: ClassVar[str] = (
        "On the right, what the model makes up: the decoder's means at draws of the prior, the "
        "same draws at every step. It is right if they lie where the data are, on the left; points "
        "in between mean that the codes leave parts of the prior empty."
    )
    examples: ClassVar[int] = 1000

    def suits(self, model: Model, data: Any) -> str | None:
        return without_prior(model)

    def draw(self, model: Model, pair: Pair) -> Figure:
        return prior_samples(model, pair.x)
