"""The latent manifold: the plane of a two-dimensional code, decoded."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Independent

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.model import Model

from .drawing.images import grid_figure, is_image, limits_of
from .drawing.theme import Figure
from .drawing.vectors import paths_figure
from .picture import PictureCallback, picture


def quantiles(model: Model, x: Tensor, u: Tensor) -> Tensor:
    """The quantiles u (N,) of the prior or, of codes not held to it, of those of x: (N, K)."""
    if not model.held_to_prior:
        return model.code(x).quantile(u, dim=0)
    p = model.prior()
    if isinstance(p, Independent):
        try:
            return p.base_dist.icdf(u[:, None])  # type: ignore[no-any-return]
        except NotImplementedError:
            pass
    return p.sample((20_000,)).quantile(u, dim=0)  # type: ignore[no-any-return]


def quantile_grid(model: Model, x: Tensor, n: int) -> Tensor:
    """Codes (n, n, 2) at the quantiles (i + ½)/n of each dimension, z₁ by column, z₂ by row.

    The first row has the largest z₂, as in a drawing of the plane.
    """
    u = (torch.arange(n, device=x.device) + 0.5) / n
    first, second = quantiles(model, x, u.to(x)).T
    return torch.stack(torch.meshgrid(first, second.flip(0), indexing="xy"), dim=-1)


@picture
def latent_manifold(model: Model, x: Tensor, n: int = 12) -> Figure:
    """Draw the plane of a two-dimensional code, decoded on a grid of equal probability.

    The grid is spaced by the prior's quantiles; if nothing holds the codes to the prior, by those
    of the codes of x. Vectors are drawn as the grid's decoded lines.

    Args:
        x: examples (B, *S).
        n: how many codes lie along a side.

    Raises:
        UsageError: if the code is of another size.

    References:
        | Auto-Encoding Variational Bayes (Kingma and Welling, 2014), figure 4
    """
    if (reason := without_plane(model)) is not None:
        raise UsageError(reason)
    whose = "prior" if model.held_to_prior else "codes"
    title = f"Decoded codes, spaced by the quantiles of the {whose}"
    z = quantile_grid(model, x, n)
    decoded = model.decode(z).mean  # (n, n, *S)
    if not is_image(model.shape):
        kinds = {"along z0": decoded, "along z1": decoded.transpose(0, 1)}
        return paths_figure(x, title, kinds, 4.4, {"alpha": 0.4}, linewidth=0.8)
    sides = z[0, :, 0].tolist(), z[:, 0, 1].tolist()
    columns, rows = ([f"{v:.1f}".replace("-", "−") for v in side] for side in sides)
    return grid_figure(decoded, title, rows, columns, limits_of(model, x), ("z0", "z1"))


def without_plane(model: Model) -> str | None:
    """Why there is no plane of this model's codes, or None if there is one."""
    if model.latent == 2:
        return None
    size = model.latent
    return f"latent_manifold decodes the plane of a code of size 2, and this one is of size {size}."


class LatentManifold(PictureCallback):
    """Draw `latent_manifold`; its grid is spaced by the prior, or by the examples' codes."""

    name: ClassVar[str] = "latent_manifold"
    caption: ClassVar[str] = (
        "The plane of the code, decoded at points that divide the probability of the prior (of "
        "codes that nothing holds to it, their own) evenly along each axis. It is right if "
        "neighbours are alike, and every kind of example has its region."
    )
    caption_of_vectors: ClassVar[str] = (
        "The plane of the code, decoded along lines that divide the probability of the prior (of "
        "codes that nothing holds to it, their own) evenly along each axis, over validation "
        "examples. It is right if the lines lie where the data are, and cross only each other."
    )
    examples: ClassVar[int] = 1000

    def suits(self, model: Model, data: Any) -> str | None:
        return without_plane(model)

    def draw(self, model: Model, pair: Pair) -> Figure:
        return latent_manifold(model, pair.x)
