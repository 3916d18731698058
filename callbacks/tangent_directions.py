"""The tangents of the data that a model has learned, and how far off the true ones they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from ae_lightning.core.types import Pair

from .drawing.directions import (
    Tangents,
    largest,
    local_pca,
    nearest,
    of_decoder,
    of_encoder,
    of_reconstruction,
    principal_angles,
    telling,
    unconstrained,
)
from .drawing.tangent_panels import (
    directions_grid,
    show_angles,
    show_grids,
    show_tangents,
    walks_grid,
)
from .drawing.theme import is_image, limits_of, new_figure
from .picture import PictureCallback, choose, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = 6  # of images
CANDIDATES = 2000  # validation examples that neighbours are looked for among
NAMES: dict[Tangents, str] = {
    of_encoder: "encoder",
    of_decoder: "decoder",
    of_reconstruction: "reconstruction",
}


@picture
def tangent_directions(
    model: Any,
    x: Tensor,
    near: Tensor,
    true: Tensor | None = None,
    k: int = 5,
    of: Tangents | None = None,
) -> Figure:
    r"""Draw the directions in which the model has learned that the data vary.

    Of images: the k leading tangents t of the first few, beside the principal directions of their
    nearest neighbours and, where known, the true tangents; and walks x + αt. Of vectors: the
    tangents as lines over the true ones (else the neighbours'), and the angles between them.

    Args:
        model: an AutoEncoder.
        x: the examples (B, *S), on the model's device.
        near: each one's nearest neighbours (B, n, *S).
        true: vectors that span the true tangent spaces (B, d, *S).
        k: how many tangents of an image are drawn.
        of: which tangents: `of_encoder`, `of_decoder` or `of_reconstruction`; `telling(model)`, if
            None.

    References:
        | The Manifold Tangent Classifier (Rifai et al., 2011)
        | Deep Learning (Goodfellow, Bengio and Courville, 2016), figure 14.10
    """
    of = telling(model) if of is None else of
    if is_image(x.shape[1:]):
        return _of_images(model, x, near, true, k, of)
    return _of_vectors(model, x, near, true, of)


def _title(model: Any, values: Tensor, k: int, of: Tangents) -> str:
    """Say what the tangents are of, and what gap the spectrum has after the k-th."""
    title = f"Tangents: singular vectors of the {NAMES.get(of, of.__name__)}'s Jacobian"
    if unconstrained(model):
        return f"{title}\nno gap in its spectrum: nothing makes this larger code choose directions"
    if values.shape[1] > k:
        gap = (values[:, k - 1] / values[:, k].clamp(min=1e-12)).median()
        title += f", σ{k}/σ{k + 1} = {gap:.2f}"
    return title


def _of_images(
    model: Any, x: Tensor, near: Tensor, true: Tensor | None, k: int, of: Tangents
) -> Figure:
    few = LINES // (2 if true is None else 3)
    images, neighbourhood = x[:few], near[:few]
    learned, values = of(model, images, k)
    kinds = {"learned": learned, "neighbours": local_pca(neighbourhood, k)}
    title = _title(model, values, learned.shape[1], of)
    if true is not None:
        kinds["true"] = true[:few, :k]
        angles = principal_angles(of(model, x, true.shape[1])[0], true).nanmedian(0).values
        title += (
            f"\nmedian angles to the true tangent space {', '.join(f'{a:.0f}°' for a in angles)}"
        )
    low, high = limits_of(model, images)
    shown = (images - low) / (high - low)
    span = float((neighbourhood - images[:, None]).flatten(2).norm(dim=2).mean())
    return show_grids(
        title,
        {
            "directions t, of length 1": directions_grid(shown, kinds),
            "walks x + αt, by α (input units)": walks_grid(
                shown, learned / (high - low), len(kinds), span
            ),
        },
    )


def _of_vectors(model: Any, x: Tensor, near: Tensor, true: Tensor | None, of: Tangents) -> Figure:
    d = 1 if true is None else true.shape[1]
    learned, values = of(model, x, d)
    pca = local_pca(near, d)
    reference, name = (pca, "neighbours'") if true is None else (true, "true")
    angles = {"learned": largest(learned, reference)}
    if true is not None:
        angles["neighbours"] = largest(pca, true)
    figure = new_figure(7.6, 3.7, _title(model, values, d, of))
    left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
    show_tangents(left, x, reference, learned)
    show_angles(right, angles)
    left.set_title(f"learned (thin) over {name} (thick)")
    right.set_title("how far off")
    right.set_xlabel(f"largest angle to the {name} tangents (°)")
    return figure


class TangentDirections(PictureCallback):
    """Draw `tangent_directions` at fixed validation examples.

    Where the data know their true tangents, log the median over the examples of the largest
    principal angle to them, in degrees, as val/tangent_angle.

    Args:
        every_n_epochs, items, seed, every_n_steps: as in `PictureCallback`.
        k: how many tangents of an image are drawn.
        neighbours: how many nearest neighbours the principal directions are of.
        of: which tangents: `of_encoder`, `of_decoder` or `of_reconstruction`; as the model's kind
            suggests, if None.
    """

    name: ClassVar[str] = "tangent_directions"
    slow: ClassVar[bool] = True
    caption: ClassVar[str] = (
        "Directions in which the model has learned that the data vary: strokes that slant, thicken "
        "or shift the image when right, speckle when not. Red is more, blue is less (of colour "
        "images, in colours about grey). σ5/σ6 is the gap in the spectrum after them: where it is "
        "near 1, others would do as well."
    )

    def __init__(
        self,
        every_n_epochs: int = 0,
        items: int = 100,
        seed: int = 0,
        every_n_steps: int = 0,
        k: int = 5,
        neighbours: int = 20,
        of: Tangents | None = None,
    ) -> None:
        super().__init__(every_n_epochs, items, seed, every_n_steps)
        self.k, self.neighbours, self.of = k, neighbours, of

    def draw(self, model: Any, pair: Pair) -> Figure:
        true = true_tangents(self.data, pair)
        if true is None and is_image(model.shape):
            pair = Pair(*(t[:LINES] for t in pair))  # all that is drawn
        among = choose(self.data, CANDIDATES, self.seed).x.to(pair.x)
        near = nearest(pair.x, among, self.neighbours)
        return tangent_directions(model, pair.x, near, true, self.k, self.of)

    def measure(self, model: Any, pair: Pair) -> dict[str, float]:
        true = true_tangents(self.data, pair)
        if true is None:
            return {}
        learned, _ = (self.of or telling(model))(model, pair.x, true.shape[1])
        return {"tangent_angle": float(largest(learned, true).median())}


def true_tangents(data: Any, pair: Pair) -> Tensor | None:
    """Vectors that span the true tangent spaces at validation pairs (B, d, *S), where known."""
    if hasattr(data, "tangents"):
        return data.tangents("val", pair.places.tolist()).to(pair.x)  # type: ignore[no-any-return]
    toy: Any = getattr(data, "toy", None)
    return toy.tangents(pair.x).to(pair.x) if hasattr(toy, "tangents") else None
