"""The score that denoising learns is the smoothed density's, with a bias of order σ²."""

import torch
from torch import Tensor

from ae_lightning.core.randomness import generator_of
from ae_lightning.datamodules import MixtureOfGaussians
from ae_lightning.theory.numerics import order
from ae_lightning.theory.panels import loglog, panel
from ae_lightning.theory.proof import Check, Claim, Results

SIGMAS = torch.logspace(-1.5, -0.7, 7, dtype=torch.float64)  # 0.03 to 0.2


class SmoothingBias(Claim):
    title = "The bias of the smoothed score"
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

        def change(sigma: float) -> Tensor:
            """Return r(x) − x of the best reconstruction."""
            return sigma**2 * toy.score(x, sigma)  # type: ignore[no-any-return]

        divisors = {"divided by σ²": 2, "divided by σ": 1, "undivided": 0}
        errors = {
            name: [
                float((change(s) / s**d - truth).norm()) / len(x) ** 0.5 for s in SIGMAS.tolist()
            ]
            for name, d in divisors.items()
        }
        orders = {name: order(SIGMAS, e) for name, e in errors.items()}
        right = orders.pop("divided by σ²")
        yield Check("order of the bias in σ", right, orders, at_least=1.75, at_most=2.25)

        figure, axes = panel("distance from ∇ log p", "σ", "root mean square")
        loglog(axes, SIGMAS, errors, [0.03, 0.05, 0.1, 0.2])
        yield figure
