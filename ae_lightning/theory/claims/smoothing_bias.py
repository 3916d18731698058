"""The score that denoising learns is the smoothed density's, with a bias of order σ²."""

import torch
from torch import Tensor

from ae_lightning import geometry
from ae_lightning.core.randomness import generator_of
from ae_lightning.datamodules import MixtureOfGaussians, Toy
from ae_lightning.likelihoods import Gaussian
from ae_lightning.model import Model
from ae_lightning.nn import Identity, Network, Residual
from ae_lightning.nn.network import Shape
from ae_lightning.posteriors import Dirac
from ae_lightning.theory.numerics import order
from ae_lightning.theory.panels import loglog, panel
from ae_lightning.theory.proof import Check, Claim, Results

SIGMAS = torch.logspace(-1.5, -0.7, 7, dtype=torch.float64)  # 0.03 to 0.2


class ExactScore(Network):
    """The score of a toy that is smoothed by σ, in the place of a network that learns it."""

    def __init__(self, toy: Toy, sigma: float) -> None:
        super().__init__()
        self.toy, self.sigma = toy, sigma

    def build(self, inputs: Shape, outputs: Shape, mirror: Network | None = None) -> None:
        """Do nothing: there are no weights."""

    def forward(self, x: Tensor) -> Tensor:
        return self.toy.score(x, self.sigma)  # type: ignore[no-any-return]


def best_denoiser(toy: Toy, sigma: float) -> Model:
    """Return the model whose reconstruction is the best one, r(x̃) = x̃ + σ² ∇ log p_σ(x̃)."""
    r = Residual(ExactScore(toy, sigma), scale=sigma**2)
    D = toy.dimension
    return Model((D,), D, Identity(), Dirac(), r, Gaussian(), value_range=None).eval()


class SmoothingBias(Claim):
    title = "The bias of the smoothed score"
    notes = ("5.2",)
    statement = """The score of the smoothed density differs from that of the data's own density by
        an amount that falls as the square of the noise's standard deviation."""
    formula = r"$\nabla \log p_\sigma(x) - \nabla \log p(x) = O(\sigma^2)$"
    source = "Alain and Bengio, 2014, What Regularized Auto-Encoders Learn"
    correction = """The notes omit that the learned score is that of p_σ, and that g(f(x)) − x must
        be divided by σ²: undivided, or divided by σ, it does not tend to any score."""
    wrong_version = "What the reconstruction adds, undivided or divided by σ."
    caption = """The distance of the estimates from the score of the data's own density, for the
        best possible reconstruction, against the noise: only the right one falls, as σ²."""

    def run(self, seed: int) -> Results:
        toy = MixtureOfGaussians()
        x = toy.sample(2000, generator_of(seed)).double()
        truth = toy.score(x)

        def estimate(sigma: float) -> Tensor:
            """Return the score that the best reconstruction gives."""
            return geometry.score(best_denoiser(toy, sigma), x, sigma)

        powers = {"divided by σ²": 0, "divided by σ": 1, "undivided": 2}
        errors = {
            name: [
                float((s**d * estimate(s) - truth).norm()) / len(x) ** 0.5 for s in SIGMAS.tolist()
            ]
            for name, d in powers.items()
        }
        orders = {name: order(SIGMAS, e) for name, e in errors.items()}
        right = orders.pop("divided by σ²")
        yield Check("order of the bias in σ", right, orders, at_least=1.75, at_most=2.25)

        figure, axes = panel("distance from ∇ log p", "σ", "root mean square")
        loglog(axes, SIGMAS, errors, [0.03, 0.05, 0.1, 0.2])
        yield figure
