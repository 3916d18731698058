"""A linear variational autoencoder is probabilistic PCA."""

import torch

from ae_lightning.likelihoods import Gaussian
from ae_lightning.systems import VariationalAutoEncoder
from ae_lightning.theory.fitting import fit
from ae_lightning.theory.known_data import GaussianData
from ae_lightning.theory.linear_models import (
    affine,
    gaussian,
    linear_vae,
    log_weights,
    marginal,
    maximum_likelihood,
    noise_variance,
)
from ae_lightning.theory.numerics import largest_angle, pca
from ae_lightning.theory.panels import legend, panel, set_ticks
from ae_lightning.theory.proof import Check, Claim, Results

VARIANCES = [8.0, 5.0, 3.0, 0.6, 0.5, 0.5, 0.4, 0.4]
D, K = len(VARIANCES), 3


class LinearVAEIsPPCA(Claim):
    title = "A linear VAE is probabilistic PCA"
    notes = ("10.5",)
    statement = """A variational autoencoder with affine maps and one learned noise level reaches
        the maximum likelihood of probabilistic PCA: its bound is tight, its decoder spans the
        principal subspace, and its noise variance is the mean of the eigenvalues left out."""
    formula = r"""$\max\; E\,\log p(x) = -\frac{1}{2}\left(D \log 2\pi +
        \sum_{i \leq K} \log \lambda_i + (D - K) \log \sigma^2 + D\right), \qquad
        \sigma^2 = \frac{1}{D - K}\sum_{i > K} \lambda_i$"""
    source = """Tipping and Bishop, 1999, Probabilistic Principal Component Analysis; Lucas et al.,
        2019, Don't Blame the ELBO! A Linear VAE Perspective on Posterior Collapse"""
    wrong_version = """A mean over pixels beside a summed KL, which amounts to weighting the rate by
        the number of pixels; a decoder whose σ stays at 1."""
    caption = """Eigenvalues of the data's covariance and of the learned WWᵀ + σ²I; and log p(x) of
        examples, one dot each, under the learned and the best model."""

    def run(self, seed: int) -> Results:
        data = GaussianData(VARIANCES, offset=2.0, n=8192, batch_size=1024, seed=seed)
        x = data.x
        mean, values, V = pca(x)
        best, variance = maximum_likelihood(values, K)
        models = {
            "learned": fit(linear_vae(D, K, Gaussian(learned=True)), data, 1500),
            "mean over pixels": fit(linear_vae(D, K, Gaussian(learned=True), beta=D), data, 1500),
            "σ = 1": fit(linear_vae(D, K, Gaussian()), data, 1500),
        }

        def bound_gap(model: VariationalAutoEncoder) -> float:
            """Return how far the mean ELBO lies below the maximum likelihood."""
            q = model.double().encode(x)
            return best - float(log_weights(model, x, q.sample((4,)), q).mean())

        gaps = {name: bound_gap(model) for name, model in models.items()}
        spans = {
            name: float(largest_angle(affine(model.decoder).weight, V[:, :K]))
            for name, model in models.items()
        }
        levels = {
            name: abs(float(noise_variance(model)) / variance - 1) for name, model in models.items()
        }
        what = "ELBO below the maximum likelihood, nats"
        yield Check(what, gaps.pop("learned"), gaps, at_most=0.01)
        what = "σ² against the mean of the eigenvalues left out, relative"
        yield Check(what, levels.pop("learned"), levels, at_most=0.01)
        what = "angle to the principal subspace, degrees"
        wrong = {"mean over pixels": spans["mean over pixels"]}
        yield Check(what, spans["learned"], wrong, at_most=0.1)

        p = marginal(models["learned"])
        spectrum, axes = panel("eigenvalues of the covariance", "dimension", "variance")
        learned = torch.linalg.eigvalsh(p.covariance_matrix).flip(0)
        axes.semilogy(range(1, D + 1), values, "o", label="data", markersize=8, mfc="none")
        axes.semilogy(range(1, D + 1), learned, "x", label="learned WWᵀ + σ²I")
        set_ticks(axes.yaxis, [0.5, 1, 2, 5])
        legend(axes)
        tight, axes = panel("log p(x) of examples", "under the best model", "under the learned one")
        ideal = gaussian(mean, V[:, :K] * (values[:K] - variance).sqrt(), variance)
        some = x[:300]
        axes.plot(ideal.log_prob(some), p.log_prob(some), ".")
        low, high = axes.get_xlim()
        axes.plot([low, high], [low, high], color="gray", linewidth=0.8)
        yield from (spectrum, tight)
