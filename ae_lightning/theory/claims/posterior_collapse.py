"""A latent dimension collapses where the data varies less along it than the decoder's noise."""

from __future__ import annotations

import torch
from torch import Tensor

from ae_lightning.distributions import factorised_kl
from ae_lightning.likelihoods import Gaussian
from ae_lightning.nn import MLP
from ae_lightning.regularizers.divergences import Rate
from ae_lightning.systems import VariationalAutoEncoder
from ae_lightning.theory.fitting import adam, fit
from ae_lightning.theory.known_data import GaussianData, moments
from ae_lightning.theory.panels import legend, panel
from ae_lightning.theory.proof import Check, Claim, Outcome

VARIANCES = [7.0, 4.0, 1.0, 1.0]
D, K = len(VARIANCES), 3
NOISES = (3.0, 5.0, 8.0)  # σ² of the decoder
ACTIVE = 0.05  # nats: a dimension that carries less is counted as collapsed


def rates(data: GaussianData, x: Tensor, variance: float, beta: float = 1.0) -> Tensor:
    """Train a linear VAE at this σ²; return its rate per dimension (K,), falling, in nats."""
    model = VariationalAutoEncoder(
        shape=(D,),
        latent=K,
        encoder=MLP(widths=()),
        decoder=MLP(widths=()),
        likelihood=Gaussian(variance**0.5),
        regularizers={"rate": Rate(weight=beta)},
        value_range=None,
        **adam(0.1),
    )
    fit(model, data, 1000)
    rate = factorised_kl(model.encode(x.float()), model.prior())
    assert rate is not None
    return rate.mean(0).double().sort(descending=True).values


def predicted(values: Tensor, variance: float) -> Tensor:
    """½ log(λ/σ²) nats where the eigenvalue λ exceeds σ², else 0: (K,)."""
    return (values[:K] / variance).clamp(min=1).log() / 2


class Collapse(Claim):
    title = "When a dimension collapses"
    statement = (
        "With a fixed decoder noise, a linear variational autoencoder uses a dimension if and only "
        "if an eigenvalue of the data's covariance exceeds that noise's variance; the dimension "
        "then carries half the logarithm of their ratio."
    )
    formula = (
        r"$KL_k = \frac{1}{2}\,\log\frac{\lambda_k}{\sigma^2}\ \ (\lambda_k > \sigma^2),"
        r"\quad 0\ \ \mathrm{else}$"
    )
    source = (
        "Lucas et al., 2019, Don't Blame the ELBO! A Linear VAE Perspective on Posterior Collapse"
    )
    correction = (
        "Collapse is not a failure of training: it is the optimum at that noise. A mean over the "
        "pixels beside a summed KL is the same as a noise as many times larger."
    )
    wrong_version = (
        "A mean over the pixels beside a summed KL, as a rate weighed by the number of pixels."
    )
    caption = (
        "Nats that each dimension carries, against the decoder's noise: measured (dots) on the "
        "formula (lines), and of the mean over pixels (crosses)."
    )

    def run(self, seed: int) -> Outcome:
        data = GaussianData(VARIANCES, n=8192, batch_size=1024, seed=seed)
        x = data.x
        values = moments(x)[1]
        checks, found, meant = [], {}, {}
        for variance in NOISES:
            found[variance] = rates(data, x, variance)
            meant[variance] = rates(data, x, variance, beta=D) if variance < 7 else None
        for variance in NOISES:
            expected, rate, other = predicted(values, variance), found[variance], meant[variance]
            count = int((expected > 0).sum())
            active = {} if other is None else {"mean over pixels": float((other > ACTIVE).sum())}
            off = (
                {} if other is None else {"mean over pixels": float((other - expected).abs().max())}
            )
            checks += [
                Check(
                    f"active dimensions at σ² = {variance:g}",
                    float((rate > ACTIVE).sum()),
                    at_least=count,
                    at_most=count,
                    wrong=active,
                ),
                Check(
                    f"rates at σ² = {variance:g} against the formula, nats",
                    float((rate - expected).abs().max()),
                    at_most=0.02,
                    wrong=off,
                ),
            ]
        figure, axes = panel("nats per dimension", "σ² of the decoder", "KL, nats")
        line = torch.linspace(2, 9, 141).double()
        formula = torch.stack([predicted(values, float(v)) for v in line])
        for k in range(2):
            axes.plot(line, formula[:, k], label=f"eigenvalue {values[k]:.1f}")
        for variance in NOISES:
            axes.plot([variance] * K, found[variance], "ko", markersize=4)
            if (other := meant[variance]) is not None:
                axes.plot([variance] * K, other, "kx", markersize=5)
        legend(axes)
        return Outcome(checks, [figure])
