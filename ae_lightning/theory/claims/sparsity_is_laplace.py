"""An L1 penalty on the code is a Laplace prior, and its best code is a soft threshold."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.types import ForwardPass
from ae_lightning.distributions import PointMass
from ae_lightning.likelihoods import Gaussian
from ae_lightning.nn import MLP
from ae_lightning.posteriors import Dirac
from ae_lightning.priors import LaplacePrior
from ae_lightning.regularizers.base import Regularizer
from ae_lightning.regularizers.sparsity import L1, L2
from ae_lightning.theory.panels import legend, panel
from ae_lightning.theory.probabilistic_pca import affine
from ae_lightning.theory.proof import Check, Claim, Outcome

K = 6
RATE = 1.5  # λ
SIGMA = 0.7  # of the decoder's Gaussian


def sparse_coder(penalty: Regularizer) -> AutoEncoder:
    """A Gaussian decoder with orthonormal columns under a Laplace prior, with a penalty."""
    model = AutoEncoder(
        shape=(K,),
        latent=K,
        encoder=MLP(widths=()),
        posterior=Dirac(),
        decoder=MLP(widths=(), unit_columns=True),
        likelihood=Gaussian(SIGMA),
        prior=LaplacePrior(scale=1 / RATE),
        regularizers={"penalty": penalty},
        value_range=None,
    ).double()
    with torch.no_grad():
        affine(model.decoder).weight = torch.linalg.qr(torch.randn(K, K).double()).Q  # type: ignore[assignment]
        affine(model.decoder).bias.zero_()
    return model


def objective(model: AutoEncoder, x: Tensor, z: Tensor) -> Tensor:
    """The model's objective at x (B, K) with the code z (B, K), summed over the batch."""
    out = ForwardPass(x, x, z, PointMass(z), z[None], model.decode(z[None]))
    return model.objective(out)["loss"] * len(x)


def best_code(model: AutoEncoder, x: Tensor) -> Tensor:
    """The code that minimises the objective, by bisection of its derivative in each element.

    The decoder's columns are orthonormal, so that the elements are independent of each other.
    """
    slope = torch.func.grad(lambda z: objective(model, x, z))
    low, high = torch.full_like(x, -50.0), torch.full_like(x, 50.0)
    for _ in range(100):
        z = (low + high) / 2
        rising = slope(z) > 0
        low, high = torch.where(rising, low, z), torch.where(rising, z, high)
    return (low + high) / 2


def soft(u: Tensor, threshold: float) -> Tensor:
    """sign(u) max(|u| − threshold, 0)."""
    return u.sign() * (u.abs() - threshold).clamp(min=0)


class SparsityIsLaplace(Claim):
    title = "An L1 penalty is a Laplace prior"
    statement = (
        "The negative logarithm of a Laplace prior is an L1 penalty and a constant; under a "
        "Gaussian decoder with orthonormal columns, the most probable code is the projection of "
        "the data, softly thresholded at the rate times the noise's variance."
    )
    formula = (
        r"$-\log p(h) = \lambda\,\|h\|_1 - n \log\frac{\lambda}{2}, \qquad"
        r" h^* = \mathrm{sign}(u)\,\max(|u| - \lambda\sigma^2,\, 0), \quad u = W^\top x$"
    )
    source = (
        "Olshausen and Field, 1996, Emergence of Simple-Cell Receptive Field Properties; Donoho, "
        "1995, De-Noising by Soft-Thresholding"
    )
    correction = (
        "Features that an L1 penalty makes are no better where the decoder is free to grow: the "
        "code only shrinks, and the decoder scales it back. Its columns are held at unit norm."
    )
    wrong_version = (
        "The prior's scale taken for its rate; a threshold at the rate alone, without the noise's "
        "variance; a Gaussian prior, which makes no element zero."
    )
    caption = (
        "The most probable code, found by minimising the objective (dots), lies on the soft "
        "threshold. The Laplace prior's energy has a kink at zero, which is what makes zeros; the "
        "Gaussian's has none."
    )

    def run(self, seed: int) -> Outcome:
        model, gaussian = sparse_coder(L1(scale=1 / RATE)), sparse_coder(L2())
        x = 2 * torch.randn(200, K).double()
        z = torch.randn(200, K).double()
        u = x @ affine(model.decoder).weight.detach()
        h, h_gaussian = best_code(model, x).detach(), best_code(gaussian, x).detach()

        def energy(scale: float) -> float:
            out = ForwardPass(x, x, z, PointMass(z), z[None], model.decode(z[None]))
            penalty = L1(scale=scale)(model, out) - K * math.log(RATE / 2)
            return float((penalty + model.prior().log_prob(z)).abs().max())

        checks = [
            Check(
                "λ‖h‖₁ − n log(λ/2) against −log p(h), nats",
                energy(1 / RATE),
                at_most=1e-10,
                wrong={"scale taken for rate": energy(RATE)},
            ),
            Check(
                "most probable code against the soft threshold",
                float((h - soft(u, RATE * SIGMA**2)).abs().max()),
                at_most=1e-10,
                wrong={"threshold λ": float((h - soft(u, RATE)).abs().max())},
            ),
            Check(
                "share of code elements that are zero",
                float((h.abs() < 1e-10).double().mean()),
                at_least=0.1,
                wrong={"Gaussian prior": float((h_gaussian.abs() < 1e-10).double().mean())},
            ),
        ]

        threshold, axes = panel("the most probable code", "u = Wᵀx", "h*")
        line = torch.linspace(-4, 4, 401).double()
        axes.plot(line, soft(line, RATE * SIGMA**2), label="soft threshold λσ²")
        axes.plot(line, soft(line, RATE), "--", label="threshold λ (wrong)")
        axes.plot(u[:25].flatten(), h[:25].flatten(), "k.", markersize=3, label="minimised")
        axes.set(xlim=(-4, 4), ylim=(-4, 4))
        legend(axes)
        energies, axes = panel("energies of a code element", "h", "−log p(h), nats")
        axes.plot(line, RATE * line.abs() - math.log(RATE / 2), label="Laplace")
        axes.plot(line, line.square() / 2 + math.log(2 * math.pi) / 2, "--", label="Gaussian")
        legend(axes)
        return Outcome(checks, [threshold, energies])
