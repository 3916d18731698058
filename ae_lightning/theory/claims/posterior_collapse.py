"""A latent dimension collapses if the data varies less along it than the decoder's noise."""

import torch
from torch import Tensor

from ae_lightning.callbacks.drawing.theme import COLOURS
from ae_lightning.distributions import factorised_kl
from ae_lightning.likelihoods import Gaussian
from ae_lightning.theory.fitting import fit
from ae_lightning.theory.known_data import GaussianData
from ae_lightning.theory.linear_models import linear_vae
from ae_lightning.theory.numerics import pca
from ae_lightning.theory.panels import legend, panel
from ae_lightning.theory.proof import Check, Claim, Results

VARIANCES = [7.0, 4.0, 1.0, 1.0]
D, K = len(VARIANCES), 3
NOISES = (3.0, 5.0, 8.0)  # σ² of the decoder
ACTIVE = 0.05  # nats: a dimension that carries less counts as collapsed


def rates(data: GaussianData, x: Tensor, variance: float, beta: float = 1.0) -> Tensor:
    """Train a linear VAE at this σ²; return its rates (K,), largest first, in nats."""
    model = fit(linear_vae(D, K, Gaussian(variance**0.5), beta), data, 1000)
    rate = factorised_kl(model.encode(x.float()), model.prior())
    assert rate is not None
    return rate.mean(0).double().sort(descending=True).values


def predicted(values: Tensor, variance: float) -> Tensor:
    """Return ½ log(λ/σ²) nats if the eigenvalue λ exceeds σ², otherwise 0: (K,)."""
    return (values[:K] / variance).clamp(min=1).log() / 2


class PosteriorCollapse(Claim):
    title = "When a dimension collapses"
    notes = ("10.6",)
    statement = """If the decoder's noise is fixed, a linear variational autoencoder uses one
        dimension for each eigenvalue of the data's covariance that exceeds the noise's variance,
        and this dimension carries half the logarithm of their ratio."""
    formula = r"""$KL_k = \frac{1}{2}\,\log\frac{\lambda_k}{\sigma^2}\ \ (\lambda_k > \sigma^2),
        \quad 0\ \ \mathrm{otherwise}$"""
    source = """Lucas et al., 2019, Don't Blame the ELBO! A Linear VAE Perspective on Posterior
        Collapse"""
    correction = """Collapse is not a failure of training but the optimum at that noise. A mean over
        pixels beside a summed KL acts like a noise variance multiplied by the number of pixels."""
    wrong_version = """A mean over pixels beside a summed KL: a rate weighted by the number of
        pixels."""
    caption = """The nats that each dimension carries, against the decoder's noise: measured (dots)
        on the formula (lines), and with the mean over pixels (crosses)."""

    def run(self, seed: int) -> Results:
        data = GaussianData(VARIANCES, n=8192, batch_size=1024, seed=seed)
        x = data.x
        values = pca(x)[1]
        found, meant = {}, {}
        for variance in NOISES:
            found[variance] = rates(data, x, variance)
            if variance < values[0]:  # otherwise no dimension is active, whatever is averaged
                meant[variance] = rates(data, x, variance, beta=D)

        def active(rate: Tensor) -> float:
            return float((rate > ACTIVE).sum())

        for variance, rate in found.items():
            expected = predicted(values, variance)
            others = {"mean over pixels": meant[variance]} if variance in meant else {}
            what = f"active dimensions at σ² = {variance:g}"
            wrong = {name: active(other) for name, other in others.items()}
            right = active(expected)
            yield Check(what, active(rate), wrong, at_least=right, at_most=right)
            what = f"rates at σ² = {variance:g} against the formula, nats"
            wrong = {n: float((other - expected).abs().max()) for n, other in others.items()}
            yield Check(what, float((rate - expected).abs().max()), wrong, at_most=0.02)

        figure, axes = panel("nats per dimension", "σ² of the decoder", "KL, nats")
        line = torch.linspace(2, 9, 141).double()
        formula = torch.stack([predicted(values, float(v)) for v in line])
        for k in range(2):
            axes.plot(line, formula[:, k], label=f"eigenvalue {values[k]:.1f}")
        for points, marker, colour, size in ((found, "o", "black", 4), (meant, "x", COLOURS[2], 9)):
            for variance, rate in points.items():
                axes.plot([variance] * K, rate, marker, color=colour, markersize=size)
        legend(axes)
        yield figure
