"""The best denoiser is the posterior mean; on Gaussian data it is linear and known."""

import torch
from torch import Tensor

from ae_lightning import geometry
from ae_lightning.core.randomness import generator_of
from ae_lightning.corruptions import GaussianNoise
from ae_lightning.datamodules import MixtureOfGaussians
from ae_lightning.metrics import squared_error
from ae_lightning.systems import DenoisingAutoEncoder
from ae_lightning.theory.fitting import adam, fit, mlps
from ae_lightning.theory.known_data import GaussianData
from ae_lightning.theory.panels import legend, panel, set_ticks
from ae_lightning.theory.proof import Check, Claim, Results

SIGMA = 0.7
VARIANCES = [4.0, 2.0, 1.0, 0.5, 0.25, 0.1]
D = len(VARIANCES)


def posterior_covariance(toy: MixtureOfGaussians, x_tilde: Tensor, sigma: float) -> Tensor:
    """Return Cov[x | x̃] of a mixture of Gaussians of width s: (B, D, D).

    Given the component, x is Gaussian with variance s²σ²/v and a mean between μ and x̃, where
    v = s² + σ².
    """
    s2, v = toy.width**2, toy.width**2 + sigma**2
    means = toy.means.to(x_tilde)
    apart = (x_tilde[:, None] - means).square().sum(2)  # (B, M)
    share = (-apart / (2 * v)).softmax(1)[..., None]
    given = (sigma**2 * means + s2 * x_tilde[:, None]) / v  # (B, M, D)
    off = given - (share * given).sum(1, keepdim=True)
    within = s2 * sigma**2 / v * torch.eye(x_tilde.shape[1]).to(x_tilde)
    return within + (share * off).mT @ off  # type: ignore[no-any-return]


class BestDenoiser(Claim):
    title = "The best denoiser"
    notes = ("4.3",)
    statement = """The reconstruction of least squared error is the posterior mean; its Jacobian is
        the posterior covariance over the noise's variance, a symmetric matrix; on Gaussian data it
        scales each principal direction by the signal's share of its variance."""
    formula = r"""$r^*(\tilde x) = E[x|\tilde x] = \mu + \Sigma\,(\Sigma + \sigma^2 I)^{-1}
        (\tilde x - \mu), \qquad J_{r^*} = \mathrm{Cov}[x|\tilde x]\,/\,\sigma^2$"""
    source = "Robbins, 1956, An Empirical Bayes Approach; Efron, 2011, Tweedie's Formula"
    correction = """Denoising does not project onto the data's subspace: it shrinks every direction,
        least those along which the data varies most."""
    wrong_version = """The posterior covariance undivided; an untrained network, whose Jacobian is
        not symmetric; σ for σ²; returning the noisy input."""
    caption = """The factor by which a trained denoising autoencoder scales each principal direction
        (dots), on the formula (line); and the entries of its Jacobian against the formula's."""

    def run(self, seed: int) -> Results:
        toy = MixtureOfGaussians()
        noisy = toy.sample(200, generator_of(seed)).double() + SIGMA * torch.randn(200, 2).double()

        def best(x: Tensor) -> Tensor:
            """Return x̃ + σ² ∇ log p_σ(x̃), the posterior mean."""
            return x + SIGMA**2 * toy.score(x, SIGMA)  # type: ignore[no-any-return]

        J, covariance = geometry.jacobian(best, noisy), posterior_covariance(toy, noisy, SIGMA)

        options = {"n": 16384, "batch_size": 1024, "seed": seed}
        data = GaussianData(VARIANCES, offset=1.0, corruption=GaussianNoise(SIGMA), **options)
        model = DenoisingAutoEncoder(data.shape, D, value_range=None, **mlps(), **adam(0.03))
        untrained = geometry.jacobian(model.reconstruct, data.x[:1].float())[0].detach()
        fit(model, data, 1500)
        model.double()
        x = data.x
        mean, Sigma = x.mean(0), torch.cov(x.T, correction=0)

        def shrinkage(noise: float) -> Tensor:
            """Return Σ (Σ + noise I)⁻¹."""
            return torch.linalg.solve(Sigma + noise * torch.eye(D).double(), Sigma, left=False)  # type: ignore[no-any-return]

        x_tilde = x + SIGMA * torch.randn_like(x)
        learned = model.reconstruct(x_tilde) - mean

        def distance(A: Tensor) -> float:
            """Return that of the learned reconstruction from x̃ ↦ μ + A(x̃ − μ), as a share."""
            expected = (x_tilde - mean) @ A.T
            return float((learned - expected).norm() / expected.norm())

        def asymmetry(J: Tensor) -> float:
            return float((J - J.mT).abs().max())

        A = shrinkage(SIGMA**2)
        trace = float((SIGMA**2 * A).trace())  # of the posterior covariance

        J_learned = geometry.jacobian(model.reconstruct, x[:1])[0]
        # To the squared error of an affine map, noise adds exactly σ²‖J‖².
        error = squared_error(model.reconstruct(x), x).mean() + SIGMA**2 * J_learned.square().sum()
        what = "Jacobian of a mixture's best denoiser against Cov[x|x̃]/σ²"
        wrong = {"undivided": float((J - covariance).abs().max())}
        yield Check(what, float((J - covariance / SIGMA**2).abs().max()), wrong, at_most=1e-10)
        wrong = {"untrained network": asymmetry(untrained)}
        yield Check("its asymmetry |J − Jᵀ|", asymmetry(J), wrong, at_most=1e-10)
        what = "trained on Gaussian data: distance from the formula, as a share"
        yield Check(what, distance(A), {"σ for σ²": distance(shrinkage(SIGMA))}, at_most=0.01)
        what = "its squared error's excess over the posterior covariance's trace, as a share"
        wrong = {"the input returned": D * SIGMA**2 / trace - 1}
        yield Check(what, abs(float(error) / trace - 1), wrong, at_most=0.01)

        values, V = torch.linalg.eigh(Sigma)
        kept, axes = panel("what is kept of a direction", "its variance", "factor")
        line = torch.logspace(-1.3, 0.8, 100)
        axes.semilogx(line, line / (line + SIGMA**2), label="formula")
        axes.semilogx(line, line / (line + SIGMA), "--", label="σ for σ² (wrong)")
        axes.semilogx(values, (V.T @ J_learned @ V).diagonal(), "ko", label="learned")
        set_ticks(axes.xaxis, [0.1, 0.3, 1, 3])
        legend(axes)
        entries, axes = panel("Jacobian, entry by entry", "Σ(Σ + σ²I)⁻¹", "learned")
        axes.plot(A.flatten(), J_learned.flatten(), ".")
        axes.plot([A.min(), A.max()], [A.min(), A.max()], color="gray", linewidth=0.8)
        yield from (kept, entries)
