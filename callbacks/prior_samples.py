"""Samples of the prior, decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.regularizers.divergences import MMD

from .drawing.points import show_points
from .drawing.theme import COLOURS, grid_figure, is_image, limits_of, new_figure, plane
from .picture import PictureCallback, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 12


@picture
def prior_samples(model: Any, x: Tensor, n: int = 72) -> Figure:
    """Draw means of p(x|z) at draws z of the prior; of vectors, beside the data.

    Means, since a draw of p(x|z) adds the noise of every element.

    Args:
        model: an AutoEncoder.
        x: examples (B, *S) to set the scale, on the model's device.
        n: how many samples to draw of images; of vectors, there are as many as examples.

    Raises:
        UsageError: where nothing holds the codes to the prior.
    """
    if (reason := no_prior(model)) is not None:
        raise UsageError(reason)
    if is_image(model.shape):
        samples = model.sample(n // COLUMNS * COLUMNS).unflatten(0, (-1, COLUMNS))
        return grid_figure(
            samples, "Samples: means of p(x|z), z ~ p(z)", limits=limits_of(model, x)
        )
    figure = new_figure(WIDE, 3.4)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    onto = plane(x.flatten(1))
    show_points(left, x, onto, color=COLOURS[0])
    show_points(right, model.sample(len(x)), onto, color=COLOURS[1])
    left.set_title("data")
    right.set_title("means of p(x|z), z ~ p(z)")
    right.label_outer()
    return figure


WIDE = 6.4  # inches


def no_prior(model: Any) -> str | None:
    """Why samples of the prior say nothing of this model, or None."""
    if model.posterior.stochastic or any(isinstance(r, MMD) for r in model.regularizers.values()):
        return None
    return "prior_samples needs codes that are held to the prior, by a Rate or an MMD."


class PriorSamples(PictureCallback):
    """Draw `prior_samples`, at the same draws of the prior at every step."""

    name: ClassVar[str] = "prior_samples"
    caption: ClassVar[str] = (
        "What the model makes up: the decoder's means at draws of the prior, the same draws at "
        "every step. Right when they look like the data, and differ; between two kinds means that "
        "the codes leave parts of the prior empty."
    )

    def __init__(self, every_n_epochs: int = 0, items: int = 1000, **common: Any) -> None:
        super().__init__(every_n_epochs, items, **common)

    def suits(self, model: Any, data: Any) -> str | None:
        return no_prior(model)

    def draw(self, model: Any, pair: Pair) -> Figure:
        return prior_samples(model, pair.x)
