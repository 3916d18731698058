"""The contractive penalty: a formula for one sigmoid layer, an unbiased estimate for any code."""

import torch
from torch import Tensor

from ae_lightning.core.types import Pair
from ae_lightning.geometry import jacobian
from ae_lightning.model import Model
from ae_lightning.regularizers.contractive import Contractive
from ae_lightning.systems import ContractiveAutoEncoder
from ae_lightning.theory.linear_models import affine
from ae_lightning.theory.panels import legend, panel
from ae_lightning.theory.proof import Check, Claim, Results

D, K = 12, 20
PROBES = 200_000


def penalty(model: Model, x: Tensor, projections: int | None = None) -> Tensor:
    """Return the contractive penalty of each example: (B,)."""
    places = torch.arange(len(x))
    out = model.propagate(Pair(x, x, places, places))
    return Contractive(projections=projections)(model, out)


class ContractivePenalty(Claim):
    title = "The contractive penalty"
    notes = ("6.2",)
    statement = """Through one sigmoid layer, the squared Frobenius norm of the code's Jacobian is
        the sum over units of (h(1 − h))² times the squared norm of the unit's weights; through any
        network, one random projection estimates it without bias."""
    formula = r"""$\|J\|_F^2 = \sum_i \|\nabla h_i\|^2 = \sum_i \left(h_i (1 - h_i)\right)^2
        \|W_i\|^2, \qquad E\,\|u^\top J\|^2 = \|J\|_F^2,\quad u \sim N(0, I)$"""
    source = """Rifai et al., 2011, Contractive Auto-Encoders; Hutchinson, 1990, A Stochastic
        Estimator of the Trace of the Influence Matrix"""
    correction = """The notes' Σ(∂z_i/∂x)² must be read as Σ_i ‖∇h_i‖²: the sum of the squares of
        all partial derivatives, not the square of their sum over the pixels."""
    wrong_version = """Σ h(1 − h)‖W‖², without the square; the square of each unit's summed
        derivatives; a projection onto a unit vector."""
    caption = """The formula against the exact Jacobian, one dot per example; and single random
        projections, as a multiple of the exact norm: right on average, though each is noisy."""

    def run(self, seed: int) -> Results:
        model = ContractiveAutoEncoder(shape=(D,), latent=K, value_range=None).double().eval()
        W = affine(model.encoder).weight.detach().mul_(3)
        model.requires_grad_(False)
        x = torch.randn(50, D).double()
        h, J = model.code(x), jacobian(model.code, x)  # (B, K), (B, K, D)
        exact = J.square().sum((1, 2))
        shipped, slope = penalty(model, x).detach(), h * (1 - h)

        def error(values: Tensor) -> float:
            return float((values / shipped - 1).abs().max())

        model.train()
        many = x[:1].expand(PROBES, -1)
        probes = penalty(model, many, projections=1).detach() / exact[0]
        unit = torch.nn.functional.normalize(torch.randn(PROBES, K).double(), dim=1)
        on_unit = (unit @ J[0]).square().sum(1) / exact[0]
        variance = 2 * (J[0] @ J[0].T).square().sum() / exact[0] ** 2

        what = "the penalty against Σ(h(1 − h))²‖W‖², relative"
        wrong = {"without the square": error(slope @ W.square().sum(1))}
        yield Check(what, error(slope.square() @ W.square().sum(1)), wrong, at_most=1e-10)
        what = "the penalty against the exact Jacobian, relative"
        wrong = {"square of the sum": error(J.sum(2).square().sum(1))}
        yield Check(what, error(exact), wrong, at_most=1e-10)
        what = "mean of ‖uᵀJ‖² over ‖J‖²"
        wrong = {"unit vector": float(on_unit.mean())}
        yield Check(what, float(probes.mean()), wrong, at_least=0.98, at_most=1.02)
        what = f"its variance over 2‖JJᵀ‖² (one probe is {float(probes.std()):.0%} noisy)"
        wrong = {"unit vector": float(on_unit.var() / variance)}
        yield Check(what, float(probes.var() / variance), wrong, at_least=0.95, at_most=1.05)

        agree, axes = panel("formula and autograd", "‖J‖², exact", "Σ(h(1 − h))²‖W‖²")
        axes.plot(exact, exact, color="gray", linewidth=0.8)
        axes.plot(exact, slope.square() @ W.square().sum(1), ".", label="formula")
        axes.plot(exact, slope @ W.square().sum(1), "x", label="without the square (wrong)")
        legend(axes)
        spread, axes = panel("single projections", "‖uᵀJ‖² / ‖J‖²", "density")
        axes.hist(probes.numpy(), bins=120, range=(0, 4), density=True)
        axes.axvline(float(probes.mean()), color="black", linewidth=1, label="mean")
        legend(axes)
        yield from (agree, spread)
