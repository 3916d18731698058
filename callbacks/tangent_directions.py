"""The tangents that a model has learned of the data, and how far they are from the true ones."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ae_lightning.core.types import Pair
from ae_lightning.model import Model

from .drawing import tangent_panels as panels
from .drawing import tangents
from .drawing.examples import choose
from .drawing.images import is_image, limits_of, scaled
from .drawing.tangents import Tangents, largest, local_pca, telling
from .drawing.theme import Figure, new_figure
from .jacobian_spectrum import LEAST_RATIO
from .picture import PictureCallback, picture

IN_ALL = 6  # lines of images
NO_GAP = 1.2  # of two singular values: less is no gap to speak of
CANDIDATES = 2000  # validation examples among which neighbours are sought


@picture
def tangent_directions(
    model: Model,
    x: Tensor,
    near: Tensor,
    true: Tensor | None = None,
    k: int = 5,
    of: Tangents | None = None,
) -> Figure:
    r"""Draw the directions in which the model has learned that the data vary.

    For images: the k leading tangents t of the first few, with the principal directions of their
    nearest neighbours and, if they are known, the true tangents; walks x + αt along the first of
    each; and what share of the neighbours' differences the tangents hold. For vectors: the
    tangents as lines over the true ones (or the neighbours', if those are not known), and the
    angles between them.

    Args:
        x: the examples (B, *S).
        near: the nearest neighbours of each (B, n, *S).
        true: vectors that span the true tangent spaces (B, d, *S).
        k: how many tangents of an image are drawn.
        of: which tangents: `of_encoder`, `of_decoder` or `of_reconstruction`; `telling(model)` if
            None.

    References:
        | The Manifold Tangent Classifier (Rifai et al., 2011)
        | Deep Learning (Goodfellow, Bengio and Courville, 2016), figure 14.10
    """
    of = telling(model) if of is None else of
    if is_image(x.shape[1:]):
        return _tangents_of_images(model, x, near, true, k, of)
    return _tangents_of_vectors(model, x, near, true, of)


def _title(model: Model, values: Tensor, k: int, of: Tangents) -> str:
    """Say of which Jacobian the tangents are, and what gap its spectrum has after the k-th."""
    whose = of.__name__.removeprefix("of_")
    title = f"Tangents: singular vectors of the {whose}'s Jacobian"
    if not values.any():
        return f"{title}\nit is 0, so that these are any directions: the model answers to none"
    if tangents.unconstrained(model):
        return f"{title}\nno gap in its spectrum: nothing makes this larger code choose directions"
    if values.shape[1] > k:
        values = values.clamp(min=LEAST_RATIO * float(values.max()))  # rounding errors are alike
        gap = float((values[:, k - 1] / values[:, k]).median())
        title += f", σ{k}/σ{k + 1} = {gap:,.{2 if gap < 100 else 0}f}"
        title += " (no gap)" if gap < NO_GAP else ""
    return title


def _tangents_of_images(
    model: Model, x: Tensor, near: Tensor, true: Tensor | None, k: int, of: Tangents
) -> Figure:
    few = IN_ALL // (2 if true is None else 3)
    images, neighbourhood = x[:few], near[:few]
    learned, values = of(model, images, k)
    kinds = {"learned": learned, "neighbours": local_pca(neighbourhood, learned.shape[1])}
    title = _title(model, values, learned.shape[1], of)
    held = [f"{tangents.share(t, neighbourhood):.0%}" for t in kinds.values()]
    chance = learned.shape[1] / learned[0, 0].numel()
    title += f"\nneighbours' variance: {held[0]} held, {held[1]} at best, {chance:.1%} at random"
    if true is not None:
        kinds["true"] = true[:few, :k]
        angles = tangents.principal_angles(of(model, x, true.shape[1])[0], true).nanmedian(0).values
        degrees = ", ".join(f"{a:.0f}°" for a in angles)
        title += f"\nmedian angles to the true tangent space {degrees}"
    limits = limits_of(model, images)
    shown, unit = scaled(images, limits), limits[1] - limits[0]
    span = float((neighbourhood - images[:, None]).flatten(2).norm(dim=2).mean())
    directions = panels.directions_grid(shown, kinds)
    firsts = torch.stack([normalize(t[:, 0].flatten(1), dim=1) for t in kinds.values()], dim=1)
    walks = panels.walks_grid(shown, firsts.unflatten(2, x.shape[1:]) / unit, span)
    grids = {"directions, of length 1": directions, "walks x + αt1, by α (input units)": walks}
    return panels.show_grids(title, grids)


def _tangents_of_vectors(
    model: Model, x: Tensor, near: Tensor, true: Tensor | None, of: Tangents
) -> Figure:
    d = 1 if true is None else true.shape[1]
    learned, values = of(model, x, d)
    pca = local_pca(near, d)
    reference, name = (pca, "neighbours'") if true is None else (true, "true")
    angles = {"learned": largest(learned, reference)}
    if true is not None:
        angles["neighbours"] = largest(pca, true)
    figure = new_figure(7.6, 3.7, _title(model, values, d, of))
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    panels.show_tangents(left, x, reference, learned)
    panels.show_angles(right, angles)
    left.set_title(f"learned (thin) over {name} (thick)")
    right.set(title="how far off", xlabel=f"largest angle to the {name} tangents (°)")
    return figure


class TangentDirections(PictureCallback):
    """Draw `tangent_directions` at fixed validation examples.

    If the data know their true tangents, log the median over the examples of the largest principal
    angle to them, in degrees, as val/tangent_angle.

    Args:
        k, of: as for `tangent_directions`.
        neighbours: of how many nearest neighbours to find the principal directions.
    """

    name: ClassVar[str] = "tangent_directions"
    slow: ClassVar[bool] = True
    caption: ClassVar[str] = (
        "Directions in which the model has learned that the data vary; red is more, blue is less "
        "(of colour images, in colours about grey). Right ones slant, thicken or shift strokes, "
        "and hold far more of neighbours' variance than random ones; wrong ones are speckle, which "
        "tangents of few pixels always resemble. A ratio of two σ in the title is the gap in the "
        "spectrum after them: near 1, the last are a choice among many."
    )
    caption_of_vectors: ClassVar[str] = (
        "Directions in which the model has learned that the data vary, over those in which they "
        "do or, if these are not known, those of the nearest neighbours; and the angles between "
        "them. They are right if the thin lines lie along the thick ones, and most angles are "
        "small. Data that fill their space have no tangents: there, no angle means anything."
    )
    examples: ClassVar[int] = 100
    fewest: ClassVar[int] = 2

    def __init__(
        self,
        every_n_epochs: int = 0,
        *,
        k: int = 5,
        neighbours: int = 20,
        of: Tangents | None = None,
        **common: Any,
    ) -> None:
        super().__init__(every_n_epochs, **common)
        self.k, self.neighbours, self.of = k, neighbours, of

    def suits(self, model: Model, data: Any) -> str | None:
        toy = getattr(data, "toy", None)
        if toy is not None and not hasattr(toy, "tangents"):
            name = type(toy).__name__
            return f"tangents are those of a curve or a surface, and a {name} fills its space."
        return None

    def draw(self, model: Model, pair: Pair) -> Figure:
        true = true_tangents(self.data, pair)
        if true is None and is_image(model.shape):
            pair = Pair(*(t[:IN_ALL] for t in pair))  # all that is drawn
        among = choose(self.data, CANDIDATES, self.seed).x.to(pair.x)
        near = tangents.nearest_neighbours(pair.x, among, self.neighbours)
        return tangent_directions(model, pair.x, near, true, self.k, self.of)

    def measure(self, model: Model, pair: Pair) -> dict[str, float]:
        true = true_tangents(self.data, pair)
        if true is None:
            return {}
        learned, _ = (self.of or telling(model))(model, pair.x, true.shape[1])
        return {"tangent_angle": float(largest(learned, true).median())}


def true_tangents(data: Any, pair: Pair) -> Tensor | None:
    """Vectors that span the true tangent spaces at validation pairs (B, d, *S), if known."""
    if hasattr(data, "tangents"):
        return data.tangents("val", pair.places.tolist()).to(pair.x)  # type: ignore[no-any-return]
    toy: Any = getattr(data, "toy", None)
    return toy.tangents(pair.x).to(pair.x) if hasattr(toy, "tangents") else None
