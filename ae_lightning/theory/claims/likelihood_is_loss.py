"""Every reconstruction loss is a negative log-likelihood up to a constant."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ae_lightning.likelihoods import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Gaussian,
    HeteroscedasticGaussian,
    Laplace,
    Likelihood,
)
from ae_lightning.theory.panels import legend, panel
from ae_lightning.theory.proof import Check, Claim, Results

B, D = 8, 6
LEVELS = 256
LOGITS = torch.linspace(-8, 8, 65, dtype=torch.float64)


def energy(likelihood: Likelihood, features: Tensor, x: Tensor) -> Tensor:
    """Return −log p(x|z) with these features, in nats: (B,)."""
    likelihood.build(x.shape[1:])
    return -likelihood.double()(features).log_prob(x)  # type: ignore[no-any-return]


def integral(likelihood: Likelihood) -> Tensor:
    """Return ∫₀¹ p(x|z) dx at each of LOGITS, by the midpoint rule."""
    n = 2000
    x = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    pairs = torch.cartesian_prod(LOGITS, x)
    p = (-energy(likelihood, pairs[:, :1], pairs[:, 1:])).exp()
    return p.view(len(LOGITS), n).mean(1)


class LikelihoodIsLoss(Claim):
    title = "Likelihood and loss"
    notes = ("9.1", "9.2")
    statement = """Squared error, absolute error and cross-entropy are the negative log-likelihoods
        of a Gaussian, a Laplace, and a Bernoulli or categorical distribution, up to terms that are
        constant unless a scale is learned."""
    formula = r"""$-\log p(x|z) = \frac{\|x - m\|^2}{2\sigma^2} + D\log\sigma +
        \frac{D}{2}\log 2\pi, \qquad \int_0^1 p(x|z)\, dx = 1$"""
    source = """Loaiza-Ganem and Cunningham, 2019, The continuous Bernoulli; Rybkin et al., 2021,
        Simple and Effective VAE Training with Calibrated Decoders"""
    correction = """A Gaussian likelihood is the squared error only at a constant σ; a learned one
        adds log σ. The Gaussian is N(h; μ, diag σ²): its second parameter is a variance.
        Cross-entropy on grey values is not the logarithm of a density."""
    wrong_version = """Dropping the log σ of a learned σ; taking the variance for σ; a mean over
        pixels; a Bernoulli on grey values."""
    caption = """The negative log-likelihood of one pixel against its error; and the integral over
        grey values, which is 1 for the continuous Bernoulli but not for the Bernoulli."""

    def run(self, seed: int) -> Results:
        x, m = torch.randn(B, D).double(), torch.randn(B, D).double()
        s = 0.5 * torch.randn(B, D).double()
        grey, logits = torch.rand(B, D).double(), torch.randn(B, D).double()
        level = torch.randint(LEVELS, (B, D))
        scores = torch.randn(B, LEVELS, D).double()
        sigma, half = 0.3, D / 2 * math.log(2 * math.pi)
        square, each = (x - m).square(), HeteroscedasticGaussian()
        spread = energy(each, torch.cat([m, s], dim=1), x)
        log_sigma = torch.log(each(torch.cat([m, s], dim=1)).variance) / 2
        learned = (square / 2 * (-2 * log_sigma).exp()).sum(1) + half
        constant = square.sum(1) / 2 / sigma**2 + half
        entropy = F.binary_cross_entropy_with_logits(logits, grey, reduction="none")

        def check(what: str, loss: Tensor, right: Tensor, wrong: dict[str, Tensor]) -> Check:
            """Hold an energy against a loss plus its constant."""
            distances = {name: float((loss - w).abs().max()) for name, w in wrong.items()}
            return Check(what, float((loss - right).abs().max()), distances, at_most=1e-10)

        def off_one(likelihood: Likelihood) -> Tensor:
            return (integral(likelihood) - 1).abs()

        log = D * math.log(sigma)
        what = "Gaussian against squared error, nats"
        wrong = {"variance taken for σ": square.sum(1) / 2 / sigma + log / 2 + half}
        yield check(what, energy(Gaussian(sigma), m, x), constant + log, wrong)
        what = "Gaussian with a σ for every pixel, nats"
        yield check(what, spread, learned + log_sigma.sum(1), {"log σ dropped": learned})
        what = "Laplace against absolute error, nats"
        right = (x - m).abs().sum(1) / 0.4 + D * math.log(0.8)
        wrong = {"mean over pixels": (x - m).abs().mean(1) / 0.4 + math.log(0.8)}
        yield check(what, energy(Laplace(0.4), m, x), right, wrong)
        what = "Bernoulli against cross-entropy, nats"
        wrong = {"mean over pixels": entropy.mean(1)}
        yield check(what, energy(Bernoulli(), logits, grey), entropy.sum(1), wrong)
        what = "Categorical against softmax cross-entropy, nats"
        found = energy(Categorical(LEVELS), scores.flatten(1), level / (LEVELS - 1))
        entropy = F.cross_entropy(scores, level, reduction="none")
        yield check(what, found, entropy.sum(1), {"mean over pixels": entropy.mean(1)})
        what = "distance of the continuous Bernoulli's ∫ p(x|z) dx from 1"
        best = {"Bernoulli, at its best": float(off_one(Bernoulli()).min())}
        yield Check(what, float(off_one(ContinuousBernoulli()).max()), best, at_most=1e-3)

        energies, axes = panel("energies of a pixel", "error x − m", "−log p(x|z), nats")
        line = torch.linspace(-2, 2, 201).double()[:, None]
        for name, likelihood in {
            "Gaussian, σ = 1": Gaussian(),
            "Gaussian, σ = 0.5": Gaussian(0.5),
            "Laplace, b = 0.5": Laplace(0.5),
        }.items():
            axes.plot(line, energy(likelihood, 0 * line, line), label=name)
        legend(axes)
        masses, axes = panel("mass on grey values", "logit", "∫₀¹ p(x|z) dx")
        axes.plot(LOGITS, integral(ContinuousBernoulli()), label="continuous Bernoulli")
        axes.plot(LOGITS, integral(Bernoulli()), "--", label="Bernoulli (no density)")
        axes.set(ylim=(0, 1.1))
        legend(axes, loc=(0.3, 0.62))
        yield from (energies, masses)
