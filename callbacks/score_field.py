r"""The score that a denoising autoencoder has learned, (r(x̃) − x̃)/σ² ≈ ∇ log p_σ(x̃)."""

from functools import partial
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.corruptions import GaussianNoise
from ae_lightning.geometry import score
from ae_lightning.likelihoods import Laplace
from ae_lightning.model import Model

from .drawing.fields import field, kernel_log_density, reach, show_arrows, show_cells, show_density
from .drawing.images import is_image
from .drawing.score_panels import ARROWS, score_images
from .drawing.theme import COLOURS, Figure, new_figure
from .drawing.vectors import name_axes, plane
from .picture import PictureCallback, picture

CELLS = 60  # of the contours, along a side of the field
FINE = 2  # times as many for the error, which is large along narrow lines


class SmoothedDensity(Protocol):
    """A density that knows p_σ, itself smoothed by Gaussian noise of standard deviation σ."""

    def log_prob(self, x: Tensor, sigma: float) -> Tensor:
        """log p_σ(x): (B, *S) -> (B,)."""

    def score(self, x: Tensor, sigma: float) -> Tensor:
        """∇ log p_σ(x): (B, *S) -> (B, *S)."""


@picture
def score_field(
    model: Model, pair: Pair, sigma: float, density: SmoothedDensity | None = None
) -> Figure:
    r"""Draw the learned score (r(x̃) − x̃)/σ², an estimate of ∇ log p_σ(x̃).

    For vectors, it is drawn as arrows over the contours of log p_σ, in the plane of the data's two
    leading directions, next to the analytic score and the error if the density is known. For
    images, it is drawn in the plane of three of them, and as x, x̃, the score and x̃ + σ² · score.
    Places that the corruption does not reach from the data are left blank: the model extrapolates
    there.

    Args:
        pair: the examples, x and x̃ = x + σε (B, *S).
        sigma: σ, the standard deviation of the Gaussian corruption that the model was trained with.
        density: what knows log p_σ and ∇ log p_σ; if None, the contours are those of the examples
            x, each smoothed by N(0, σ²I).

    Raises:
        UsageError: if sigma is not positive.

    References:
        | A Connection Between Score Matching and Denoising Autoencoders (Vincent, 2011)
        | What Regularized Auto-Encoders Learn from the Data-Generating Distribution (Alain and
          Bengio, 2014)
    """
    if not sigma > 0:
        raise UsageError(f"sigma is {sigma}: expected the corruption's, a positive number.")
    if pair.x[0].numel() < 2:
        raise UsageError("a score field is drawn in a plane, and the data have one value each.")
    if is_image(pair.x.shape[1:]):
        return score_images(model, pair, sigma)
    return _score_of_vectors(model, pair, sigma, density)


def score_error(
    model: Model, x_tilde: Tensor, sigma: float, density: SmoothedDensity
) -> tuple[float, float]:
    """√(E‖ŝ − s‖² / E‖s‖²) and the mean cosine between ŝ and s, at draws x̃ (B, *S) of p_σ."""
    learned = score(model, x_tilde, sigma).flatten(1)
    true = density.score(x_tilde, sigma).flatten(1).to(learned)
    error = ((learned - true).square().sum() / true.square().sum()).sqrt()
    return float(error), float(torch.cosine_similarity(learned, true, dim=1).mean())


def _score_of_vectors(
    model: Model, pair: Pair, sigma: float, density: SmoothedDensity | None
) -> Figure:
    flat = pair.x.flatten(1)
    onto = plane(flat)
    span = (flat.float().cpu() - onto[0]) @ onto[1].T
    # What reaches a place in the plane is noise of two dimensions, not of all D.
    cells = CELLS if density is None else FINE * CELLS
    coarse, fine = (field(pair.x, reach(sigma, 2), onto, span, n) for n in (ARROWS, cells))
    learned = partial(score, model, sigma=sigma)
    arrows = coarse.within(coarse.evaluate(learned))
    panels = {r"learned $(r(\tilde x) - \tilde x)/\sigma^2$": (arrows, COLOURS[0])}
    if density is None:
        contours = fine.evaluate(partial(kernel_log_density, x=pair.x, sigma=sigma))
    else:
        contours = fine.evaluate(partial(density.log_prob, sigma=sigma))
        true = coarse.within(coarse.evaluate(partial(density.score, sigma=sigma)))
        panels[r"analytic $\nabla\log p_\sigma$"] = (true, COLOURS[1])
    longest = max(float(a[coarse.seen].norm(dim=1).max()) for a, _ in panels.values())
    columns = len(panels) + (density is not None)
    title = rf"Score at $\sigma$ = {sigma:g}, over the contours of $\log p_\sigma$"
    figure = new_figure(2.3 * columns + 0.6, 2.9, title)
    grid = figure.subplots(1, columns, sharex=True, sharey=True, squeeze=False)[0]
    for axes, (name, (vectors, colour)) in zip(grid, panels.items(), strict=False):
        show_density(axes, fine, contours)
        show_arrows(axes, coarse, vectors, colour, longest)
        axes.set_title(name)
    if density is not None:
        missed = fine.evaluate(lambda x: sigma * (learned(x) - density.score(x, sigma)))
        image = show_cells(grid[2], fine, missed.flatten(2).norm(dim=2), "magma_r")
        figure.colorbar(image, ax=grid[2], label="σ ‖learned − analytic‖", shrink=0.8)
        error, cosine = score_error(model, pair.x_tilde, sigma, density)
        grid[2].set_title(f"error {error:.1%} (RMS), cosine {cosine:.3f}")
    for axes in grid:
        name_axes(axes, flat.shape[1])
        axes.label_outer()
    return figure


def sigma_of(data: Any) -> float | None:
    """The standard deviation of the data's Gaussian corruption, or None if it has not one."""
    corruption = getattr(data, "corruption", None)
    if isinstance(corruption, GaussianNoise) and corruption.largest is None:
        return corruption.sigma or None
    return None


class ScoreField(PictureCallback):
    """Draw `score_field` of fixed validation pairs, at the σ of the data's Gaussian corruption."""

    name: ClassVar[str] = "score_field"
    caption: ClassVar[str] = (
        "On the left, examples, the noise added, the score there, and the step of σ² along it: it "
        "is right if it takes the noise away and leaves the strokes. On the right, the score in "
        "the plane of three examples: arrows lead to them, and are longer farther off. Places that "
        "the corruption does not reach are left blank."
    )
    caption_of_vectors: ClassVar[str] = (
        "Arrows point to where the data are denser. They lead to the ridges of the density, vanish "
        "on them, and are longer farther off. Places that the corruption does not reach are left "
        "blank. Where the true score is known, it stands beside, with the error."
    )
    examples: ClassVar[int] = 1000
    fewest: ClassVar[int] = 2

    def suits(self, model: Model, data: Any) -> str | None:
        if sigma_of(data) is None:
            return (
                "a score field needs a model trained with Gaussian corruption: "
                "give its data GaussianNoise, such as GaussianNoise(sigma=0.1)."
            )
        if isinstance(model.likelihood, Laplace):
            return "a score field needs a likelihood fitted by its mean, as Gaussian: not Laplace."
        return None

    def draw(self, model: Model, pair: Pair) -> Figure:
        sigma = sigma_of(self.data)
        assert sigma is not None
        return score_field(model, pair, sigma, getattr(self.data, "toy", None))
