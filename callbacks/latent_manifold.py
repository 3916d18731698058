"""The latent manifold: the whole plane of a two-dimensional code, decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair

from .drawing.latent import quantiles
from .drawing.points import name_axes, show_points
from .drawing.theme import (
    COLOURS,
    FAINT,
    grid_figure,
    is_image,
    limits_of,
    new_figure,
    plane,
    project,
)
from .picture import PictureCallback, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def quantile_grid(model: Any, x: Tensor, n: int) -> Tensor:
    """Codes (n, n, 2) at the quantiles (i + ½)/n of each dimension, z₁ by column, z₂ by row.

    The first row has the largest z₂, as in a plane that is drawn.
    """
    u = (torch.arange(n, device=x.device) + 0.5) / n
    first, second = quantiles(model, x, u.to(x)).T
    return torch.stack(torch.meshgrid(first, second.flip(0), indexing="xy"), dim=-1)


@picture
def latent_manifold(model: Any, x: Tensor, n: int = 12) -> Figure:
    """Draw a two-dimensional code's plane, decoded on a grid of equal probability.

    The grid is spaced by the prior's quantiles; of a deterministic code, by those of the codes of
    x. Of vectors, the grid's decoded lines are drawn.

    Args:
        model: an AutoEncoder with a code of size 2.
        x: examples (B, *S), on the model's device.
        n: how many codes along a side.

    Raises:
        UsageError: where the code is of another size.

    References:
        | Auto-Encoding Variational Bayes (Kingma and Welling, 2014), figure 4
    """
    if (reason := not_two(model)) is not None:
        raise UsageError(reason)
    whose = "prior" if model.posterior.stochastic else "codes"
    title = f"Decoded codes, spaced by the quantiles of the {whose}"
    z = quantile_grid(model, x, n)
    decoded = model.decode(z).mean  # (n, n, *S)
    if not is_image(model.shape):
        return _lines(x, decoded, title)
    columns, rows = (
        [f"{value:.1f}".replace("-", "−") for value in values.tolist()]
        for values in (z[0, :, 0], z[:, 0, 1])
    )
    return grid_figure(decoded, title, rows, columns, limits_of(model, x), ("z0", "z1"))


def _lines(x: Tensor, decoded: Tensor, title: str) -> Figure:
    figure = new_figure(5.0, 4.4)
    axes = figure.subplots()
    onto = plane(x.flatten(1))
    show_points(axes, x, onto, color=FAINT, alpha=0.4)
    for lines, name, colour in ((decoded, "z0", 0), (decoded.transpose(0, 1), "z1", 1)):
        for i, line in enumerate(lines):
            label = f"along {name}" if i == 0 else None
            path = project(line.flatten(1), onto)
            axes.plot(*path.T, color=COLOURS[colour], linewidth=0.8, label=label)
    name_axes(axes, x[0].numel())
    axes.set_title(title)
    axes.legend()
    return figure


def not_two(model: Any) -> str | None:
    """Why there is no plane of this model's codes, or None."""
    if model.latent == 2:
        return None
    return f"latent_manifold decodes the plane of a code of size 2, and this is {model.latent}."


class LatentManifold(PictureCallback):
    """Draw `latent_manifold`; the examples are those that a deterministic code is spaced by."""

    name: ClassVar[str] = "latent_manifold"
    caption: ClassVar[str] = (
        "The plane of the code, decoded at points that are equally probable under the prior. Right "
        "when neighbours are alike, and every kind of example has its region."
    )

    def __init__(self, every_n_epochs: int = 0, items: int = 1000, **common: Any) -> None:
        super().__init__(every_n_epochs, items, **common)

    def suits(self, model: Any, data: Any) -> str | None:
        return not_two(model)

    def draw(self, model: Any, pair: Pair) -> Figure:
        return latent_manifold(model, pair.x)
