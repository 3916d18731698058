"""How much the code contracts distances, as a function of the distance."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ae_lightning.core.types import Pair
from ae_lightning.model import Model
from ae_lightning.nn import MLP, Identity

from .drawing.theme import (
    COLOURS,
    WIDTH,
    Figure,
    Room,
    drawable,
    log_scale,
    new_figure,
    show_quartiles,
)
from .jacobian_spectrum import LEAST_RATIO
from .picture import PictureCallback, picture


def contraction_ratios(model: Model, x: Tensor, directions: Tensor, radii: Tensor) -> Tensor:
    r"""‖f(x + r u) − f(x)‖ / r for unit directions u (B, n, *S) at x (B, *S): (B, n, radii)."""
    n = directions.shape[1]
    code = model.code(x)[:, None]  # (B, 1, K)
    ratios = []
    for r in radii.tolist():
        moved = (x[:, None] + r * directions).flatten(0, 1)
        ratios.append((model.code(moved).unflatten(0, (-1, n)) - code).norm(dim=2) / r)
    return torch.stack(ratios, dim=2)


@picture
def contraction_curve(model: Model, x: Tensor, radii: Tensor | None = None, n: int = 8) -> Figure:
    r"""Draw ‖Δh‖/‖Δx‖ against ‖Δx‖: median and quartiles over examples and directions.

    There is a curve for random directions, nearly all of which lead off the data, and one for
    directions towards other examples. A contractive code keeps the first low near the data; its
    rise with the radius says how local the contraction is, and its place below the second that
    the data are spared.

    Args:
        x: the examples (B, *S); at least two.
        radii: the distances; if None, from 1/100 to twice the median distance of two examples.
        n: in how many directions of each kind an example is moved.

    References:
        | Contractive Auto-Encoders (Rifai et al., 2011), figure 2
    """
    flat, B = x.flatten(1), len(x)
    towards = torch.stack([flat.roll(-i, 0) - flat for i in range(1, min(n + 1, B))], dim=1)
    typical = float(towards.norm(dim=2).median())
    if radii is None:
        radii = typical * torch.logspace(-2, 0.3, 16)
    noise = torch.randn(B, n, flat.shape[1], generator=torch.Generator().manual_seed(0)).to(flat)
    figure = new_figure(WIDTH, 3.7, room=Room(left=0.75, bottom=0.82))
    axes = figure.subplots()
    curves = {}
    for directions, label in ((noise, "random directions"), (towards, "towards other examples")):
        units = normalize(directions, dim=2).unflatten(2, x.shape[1:])
        found = contraction_ratios(model, x, units, radii).flatten(0, 1)
        curves[label] = drawable(found, "the ratio of distances")
    high = max(float(ratios.max()) for ratios in curves.values())
    low = min(float(ratios.quantile(0.25, 0).min()) for ratios in curves.values())
    low = max(LEAST_RATIO * high, low)
    for (label, ratios), colour in zip(curves.items(), COLOURS, strict=False):
        show_quartiles(axes, radii.cpu(), ratios.clamp(min=low), label, colour)
    axes.axvline(typical, color="0.6", linestyle=":", label="distance of two examples")
    axes.set(
        xlabel="radius ‖Δx‖ (input units)",
        ylabel="‖Δh‖ / ‖Δx‖ (code per input unit)",
        title="Contraction of the code by distance: median, and quartiles",
    )
    axes.loglog()
    log_scale(axes.xaxis, float(radii[0]), float(radii[-1]))
    log_scale(axes.yaxis, low, high)
    axes.grid(alpha=0.25)
    figure.legend(loc="lower center", ncols=3)
    return figure


def without_curve(model: Model) -> str | None:
    """Why this model's code contracts alike at every distance, or None if it does not."""
    one_layer = isinstance(model.encoder, MLP) and not model.encoder.widths
    if (one_layer or isinstance(model.encoder, Identity)) and model.posterior.activation is None:
        return "a contraction curve of an affine code is flat: the same at every radius."
    return None


class ContractionCurve(PictureCallback):
    """Draw `contraction_curve` at fixed validation examples.

    Args:
        n: in how many directions of each kind an example is moved.
    """

    name: ClassVar[str] = "contraction_curve"
    caption: ClassVar[str] = (
        "How much of a move of the input reaches the code. A contractive code moves little for "
        "small steps in random directions, which leave the data, and more for steps towards other "
        "examples; the rise of the curve with the radius shows how local the contraction is."
    )
    examples: ClassVar[int] = 16
    fewest: ClassVar[int] = 2

    def __init__(self, every_n_epochs: int = 0, *, n: int = 8, **common: Any) -> None:
        super().__init__(every_n_epochs, **common)
        self.n = n

    def suits(self, model: Model, data: Any) -> str | None:
        return without_curve(model)

    def draw(self, model: Model, pair: Pair) -> Figure:
        return contraction_curve(model, pair.x, n=self.n)
