"""The codes of examples in a plane, coloured by label."""

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution, Independent

from ae_lightning.core.types import Pair
from ae_lightning.model import Model

from .drawing.projections import Method, agreement, in_plane
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
from .picture import PictureCallback, picture

MOST_KINDS = 20  # labels of more kinds are drawn as a scale
APART = 0.065  # of what is drawn: the least distance of two labels


@picture
def codes(model: Model, x: Tensor, y: Tensor, by: Method = "tsne") -> Figure:
    """Scatter the codes of x, coloured by label: the code itself if K ≤ 2, otherwise a projection.

    The title says how far the map can be trusted: trustworthiness is 1 if all of the 10 nearest on
    the map are near in the code. It also says how often the nearest code has the same label.

    Args:
        x: the examples (B, *S).
        y: their labels (B,): whole numbers are kinds, any others a scale.
        by: how codes of more than two dimensions are projected: "tsne", "pca" or "umap".

    Raises:
        UsageError: if umap is wanted and umap-learn is not installed.

    References:
        | Visualizing Data using t-SNE (van der Maaten and Hinton, 2008)
        | Local multidimensional scaling (Venna and Kaski, 2006), for trustworthiness
    """
    code, y = drawable(model.code(x), "the code"), y.cpu()
    shown = in_plane(code, by)
    figure = new_figure(6.0, 5.0, room=Room(left=0.75, right=0.75, top=0.56))
    axes = figure.subplots()
    if model.latent > 1:
        axes.set_aspect("equal", adjustable="datalim")
    prior = model.prior() if model.held_to_prior and model.latent == 2 else None
    title, first = f"Codes of {len(x):,} examples: {shown.how}", shown.names[0]
    if isinstance(prior, Independent):
        _show_prior(axes, prior)
        first += " (dashed: two standard deviations of the prior)"
    kinds = y.unique()
    whole = not y.is_floating_point() or bool((y == y.round()).all())
    size = min(5.0, max(2.5, 110 / len(x) ** 0.5))  # points
    if len(kinds) == 1:
        axes.plot(*shown.points.T, "o", markersize=size, mew=0, color=COLOURS[0])
    elif whole and len(kinds) <= MOST_KINDS:
        _show_kinds(axes, shown.points, y, kinds.long().tolist(), size)
        chance = (y[:, None] == kinds).float().mean(0).square().sum()
        title += f"\nthe nearest code has the same label: {agreement(code, y):.0%}, "
        title += f"by chance {float(chance):.0%}"
    else:
        how: dict[str, Any] = {"s": size**2, "cmap": SEQUENTIAL, "linewidths": 0}
        scale = axes.scatter(*shown.points.T, c=y.numpy(), **how)
        figure.colorbar(scale, label="label")
    axes.set(title=title, xlabel=first, ylabel=shown.names[1])
    axes.locator_params(nbins=6)
    if not shown.measured:
        axes.set(xticks=[], yticks=[])
    return figure


def _show_kinds(
    axes: Axes, points: NDArray[np.float32], y: Tensor, kinds: list[int], size: float
) -> None:
    """Colour by kind, and write each kind amid its examples."""
    from matplotlib.patheffects import withStroke

    for i, kind in enumerate(kinds):
        colour = LABEL_COLOURS[i % len(LABEL_COLOURS)]
        of_kind = points[(y == kind).numpy()]
        # The markers of a line take half as long as a scatter.
        axes.plot(*of_kind.T, "o", markersize=size, mew=0, color=colour, label=str(kind))
    halo = [withStroke(linewidth=3, foreground="white")]
    how = {"ha": "center", "va": "center", "path_effects": halo, "fontweight": "bold"}
    # As far apart as they are seen to be: the two axes of a code of one dimension differ.
    seen = np.asarray(axes.dataLim.size)
    sizes = np.where(seen > 0, seen, 1) if axes.get_aspect() == "auto" else seen.max() or 1.0
    places = sizes * label_places(points / sizes, y, kinds, APART)
    for kind, place in zip(kinds, places, strict=True):
        axes.text(*place, str(kind), fontsize=13, zorder=3, **how)
    beside = {"loc": "center left", "bbox_to_anchor": (1, 0.5)}
    axes.legend(title="label", handletextpad=0, **beside, markerscale=7 / size)


def label_places(
    points: NDArray[np.float32], y: Tensor, kinds: list[int], least: float
) -> NDArray[np.float64]:
    """Where to write each kind: where its own points (B, 2) are densest and most of those there.

    Returns:
        places (n, 2), no two closer than `least`, or hardly.
    """
    at = torch.as_tensor(points, dtype=torch.float64)
    width = 0.05 * float((at.amax(0) - at.amin(0)).max()) or 1.0
    near = (-torch.cdist(at, at).square() / (2 * width**2)).exp()  # (B, B)
    own = torch.stack([near[:, y == kind].sum(1) for kind in kinds], dim=1)  # (B, n)
    better = own.square() / own.sum(1, keepdim=True)
    best = better.masked_fill(y[:, None] != torch.tensor(kinds), -torch.inf).argmax(0)
    # Kinds at one place would never part: each has a way of its own.
    turns = torch.arange(len(kinds), dtype=torch.float64)
    places = at[best] + 1e-3 * least * torch.stack([turns.cos(), turns.sin()], dim=1)
    for _ in range(200):
        ways = places[:, None] - places  # (n, n, 2)
        apart = ways.norm(dim=2) + 2 * least * torch.eye(len(kinds))
        missing = (1.02 * least - apart).clamp(min=0)
        if not bool((missing > 0.02 * least).any()):
            break
        places = places + 0.5 * (missing / apart)[..., None].mul(ways).sum(1)
    return np.asarray(places)


def _show_prior(axes: Axes, prior: Distribution) -> None:
    """Draw the ellipse of two standard deviations."""
    from matplotlib.patches import Ellipse

    centre, sd = (drawable(t, "the prior").numpy() for t in (prior.mean, prior.stddev))
    axes.add_patch(Ellipse(centre, *(4 * sd), fill=False, edgecolor=INK, linestyle="--"))


class Codes(PictureCallback):
    """Draw `codes` of validation examples.

    Args:
        by: how codes of more than two dimensions are projected: tsne, pca or umap, which needs
            umap-learn.
    """

    name: ClassVar[str] = "codes"
    slow: ClassVar[bool] = True
    caption: ClassVar[str] = (
        "Validation examples placed by their codes. Labels, if there are any, took no part in "
        "training: if groups come apart, the model found them on its own. On a map by t-SNE or "
        "UMAP, only who is near whom counts: distances between groups, and their sizes, say "
        "nothing."
    )
    examples: ClassVar[int] = 1000

    def __init__(self, every_n_epochs: int = 0, *, by: Method = "tsne", **common: Any) -> None:
        super().__init__(every_n_epochs, **common)
        self.by = by

    def draw(self, model: Model, pair: Pair) -> Figure:
        return codes(model, pair.x, pair.y, self.by)
