"""An L1 penalty on the code is a Laplace prior, and its best code is a soft threshold."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.types import ForwardPass
from ae_lightning.distributions import PointMass
from ae_lightning.likelihoods import Gaussian
from ae_lightning.model import Model
from ae_lightning.nn import MLP
from ae_lightning.posteriors import Dirac
from ae_lightning.priors import LaplacePrior
from ae_lightning.regularizers.base import Regularizer
from ae_lightning.regularizers.sparsity import L1, L2
from ae_lightning.theory.linear_models import affine, log_joint
from ae_lightning.theory.panels import legend, panel
from ae_lightning.theory.proof import Check, Claim, Results

K = 6
RATE = 1.5  # λ
SIGMA = 0.7  # of the decoder's Gaussian


def sparse_coder(penalty: Regularizer) -> AutoEncoder:
    """Return a Gaussian decoder with orthonormal columns, a Laplace prior and a penalty."""
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


def forward_pass(model: Model, x: Tensor, z: Tensor) -> ForwardPass:
    """Return the pass of x (B, K) through the codes z (B, K)."""
    return ForwardPass(x, x, z, PointMass(z), z[None], model.decode(z[None]))


def best_code(objective: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the code (B, K) that minimises an objective, by bisecting its derivatives.

    Each element may be bisected alone, because the decoder's columns are orthonormal.
    """
    slope = torch.func.grad(lambda z: objective(z).sum())
    low, high = torch.full_like(x, -50.0), torch.full_like(x, 50.0)
    for _ in range(100):
        z = (low + high) / 2
        rising = slope(z) > 0
        low, high = torch.where(rising, low, z), torch.where(rising, z, high)
    return ((low + high) / 2).detach()


def soft(u: Tensor, threshold: float) -> Tensor:
    """Return sign(u) max(|u| − threshold, 0)."""
    return u.sign() * (u.abs() - threshold).clamp(min=0)


class SparsityIsLaplace(Claim):
    title = "An L1 penalty is a Laplace prior"
    notes = ("3.1", "3.2", "3.3")
    statement = """The negative logarithm of a Laplace prior is an L1 penalty plus a constant; under
        a Gaussian decoder with orthonormal columns, the most probable code is the projection of the
        data onto them, soft-thresholded at the prior's rate times the noise's variance."""
    formula = r"""$-\log p(h) = \lambda\,\|h\|_1 - n \log\frac{\lambda}{2}, \qquad
        h^* = \mathrm{sign}(u)\,\max(|u| - \lambda\sigma^2,\, 0), \quad u = W^\top x$"""
    source = """Olshausen and Field, 1996, Emergence of Simple-Cell Receptive Field Properties;
        Donoho, 1995, De-Noising by Soft-Thresholding"""
    correction = """An L1 penalty does not improve the features if the decoder is free to grow: the
        code only shrinks, and the decoder scales it back. Here its columns are held at unit
        norm."""
    wrong_version = """Taking the prior's scale for its rate; a threshold at the rate alone, without
        the noise's variance; a Gaussian prior, which makes no element zero."""
    caption = """The most probable code, found by minimising the objective (dots), lies on the soft
        threshold. The Laplace prior's energy has a kink at zero, which is what makes elements zero;
        the Gaussian's has none."""

    def run(self, seed: int) -> Results:
        model, gaussian = sparse_coder(L1(scale=1 / RATE)), sparse_coder(L2())
        x = 2 * torch.randn(200, K).double()
        z = torch.randn(200, K).double()
        u = x @ affine(model.decoder).weight.detach()

        def code(model: Model) -> Tensor:
            return best_code(lambda z: model.objective(forward_pass(model, x, z))["loss"], x)

        h, h_gaussian = code(model), code(gaussian)

        def energy(scale: float) -> float:
            penalty = L1(scale=scale)(model, forward_pass(model, x, z)) - K * math.log(RATE / 2)
            return float((penalty + model.prior().log_prob(z)).abs().max())

        def distance(h: Tensor, threshold: float) -> float:
            return float((h - soft(u, threshold)).abs().max())

        def zeros(h: Tensor) -> float:
            return float((h.abs() < 1e-10).double().mean())

        what = "λ‖h‖₁ − n log(λ/2) against −log p(h), nats"
        yield Check(what, energy(1 / RATE), {"scale taken for rate": energy(RATE)}, at_most=1e-10)
        most_probable = best_code(lambda h: -log_joint(model, x, h), x)
        codes = {"code of least objective with L1": h}
        codes["most probable code under the prior"] = most_probable
        for name, found in codes.items():
            what = f"{name} against the soft threshold"
            wrong = {"threshold λ": distance(found, RATE)}
            yield Check(what, distance(found, RATE * SIGMA**2), wrong, at_most=1e-10)
        wrong = {"Gaussian prior": zeros(h_gaussian)}
        yield Check("share of code elements that are zero", zeros(h), wrong, at_least=0.1)

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
        yield from (threshold, energies)
