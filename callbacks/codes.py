"""The codes of examples in a plane, coloured by label."""

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution, Independent

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.model import Model

from .drawing.theme import (
    COLOURS,
    INK,
    LABEL_COLOURS,
    SEQUENTIAL,
    Axes,
    Figure,
    Room,
    drawable,
    new_figure,
)
from .drawing.vectors import plane
from .picture import PictureCallback, picture

MOST_KINDS = 20  # labels of more kinds are drawn as a scale


@picture
def codes(model: Model, x: Tensor, y: Tensor, umap: bool = False) -> Figure:
    """Scatter the codes of x, coloured by label: the code itself if K = 2, otherwise a projection.

    Args:
        x: the examples (B, *S).
        y: their labels (B,): whole numbers are kinds, any others a scale.
        umap: project by UMAP instead of onto the two leading principal directions.

    Raises:
        UsageError: if umap is wanted and umap-learn is not installed.

    References:
        | UMAP: Uniform Manifold Approximation and Projection (McInnes et al., 2018)
    """
    code = drawable(model.code(x), "the code")
    points, how, names = in_plane(code, umap)
    figure = new_figure(5.6, 4.4, room=Room(left=0.85, right=0.8))
    axes = figure.subplots()
    stochastic = model.posterior.stochastic
    if stochastic and model.latent == 2 and not umap and isinstance(model.prior(), Independent):
        _show_prior(axes, model.prior())
        names = ("z0 (dashed: two standard deviations of the prior)", "z1")
    kinds = y.unique()
    whole = not y.is_floating_point() or bool((y == y.round()).all())
    if len(kinds) == 1:
        axes.scatter(*points.T, s=5, color=COLOURS[0], linewidths=0)
    elif whole and len(kinds) <= MOST_KINDS:
        _show_kinds(axes, points, y.cpu(), kinds.long().tolist())
    else:
        shown = axes.scatter(*points.T, s=5, c=y.cpu().numpy(), cmap=SEQUENTIAL, linewidths=0)
        figure.colorbar(shown, label="label")
    axes.set(title=f"Codes of {len(x):,} examples: {how}", xlabel=names[0], ylabel=names[1])
    if model.latent > 1:
        axes.set_aspect("equal", adjustable="datalim")
    axes.locator_params(nbins=6)
    if umap:
        axes.set(xticks=[], yticks=[])  # UMAP's axes have no unit
    return figure


def in_plane(code: Tensor, umap: bool) -> tuple[NDArray[np.float32], str, tuple[str, str]]:
    """Coordinates (B, 2) of codes (B, K), the projection used, and the axes' names."""
    if umap:
        try:
            from umap import UMAP
        except ImportError:
            raise UsageError("umap needs the package umap-learn: pip install umap-learn") from None
        embedded = np.asarray(UMAP(random_state=0, n_jobs=1).fit_transform(code.numpy()))
        return embedded, "UMAP", ("first coordinate", "second coordinate")
    K = code.shape[1]
    if K == 1:
        beside = torch.linspace(0, 1, len(code))[:, None]
        return torch.cat([code, beside], dim=1).numpy(), "the code", ("z0", "place in the sample")
    if K == 2:
        return code.numpy(), "the code itself", ("z0", "z1")
    mean, V = plane(code)
    points = (code - mean) @ V.T
    shares = points.var(0) / code.var(0).sum().clamp(min=1e-12)
    first, second = (f"principal direction ({share:.0%} of the variance)" for share in shares)
    return points.numpy(), "principal directions", (f"first {first}", f"second {second}")


def _show_kinds(axes: Axes, points: NDArray[np.float32], y: Tensor, kinds: list[int]) -> None:
    """Colour by kind, and write each kind in its middle, unless another is written there."""
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=3, foreground="white")]
    middles = []
    for i, kind in enumerate(kinds):
        of_kind = points[(y == kind).numpy()]
        colour = LABEL_COLOURS[i % len(LABEL_COLOURS)]
        # The markers of a line take half as long as a scatter.
        axes.plot(*of_kind.T, "o", markersize=2.2, mew=0, color=colour, label=str(kind))
        middles.append(np.median(of_kind, axis=0))
    written: list[NDArray[np.float32]] = []
    apart = 0.06 * max(axes.dataLim.size)  # of all that is drawn
    for kind, middle in zip(kinds, middles, strict=True):
        if all(np.linalg.norm(middle - other) > apart for other in written):
            written.append(middle)
            how = {"ha": "center", "va": "center", "path_effects": halo, "fontweight": "bold"}
            axes.text(*middle, str(kind), fontsize=12, zorder=3, **how)
    place = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
    axes.legend(title="label", markerscale=3, handletextpad=0, **place)


def _show_prior(axes: Axes, prior: Distribution) -> None:
    """Draw the ellipse of two standard deviations."""
    from matplotlib.patches import Ellipse

    centre, sd = (drawable(t, "the prior").numpy() for t in (prior.mean, prior.stddev))
    axes.add_patch(Ellipse(centre, *(4 * sd), fill=False, edgecolor=INK, linestyle="--"))


class Codes(PictureCallback):
    """Draw `codes` of validation examples; `umap` needs umap-learn, and takes some seconds."""

    name: ClassVar[str] = "codes"
    caption: ClassVar[str] = (
        "Validation examples placed by their codes; each label is written in the middle of its "
        "examples. Labels took no part in training: if groups come apart, the model found them on "
        "its own."
    )
    examples: ClassVar[int] = 1500

    def __init__(self, every_n_epochs: int = 0, *, umap: bool = False, **common: Any) -> None:
        super().__init__(every_n_epochs, **common)
        self.umap = umap

    def draw(self, model: Model, pair: Pair) -> Figure:
        return codes(model, pair.x, pair.y, self.umap)
