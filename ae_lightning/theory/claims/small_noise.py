"""A little noise on the input penalises the reconstruction's derivatives."""

import torch
from torch import Tensor
from torch.func import hessian, vmap

from ae_lightning.geometry import squared_jacobian, squared_reconstruction_jacobian
from ae_lightning.metrics import squared_error
from ae_lightning.model import Model
from ae_lightning.systems import UndercompleteAutoEncoder
from ae_lightning.theory.fitting import mlps
from ae_lightning.theory.numerics import gaussian_nodes, order
from ae_lightning.theory.panels import legend, loglog, panel
from ae_lightning.theory.proof import Check, Claim, Results

SIGMAS = torch.logspace(-2, -1, 7).double()
NODES = 24  # of quadrature per dimension: exact but for rounding at these σ


def noisy_error(model: Model, x: Tensor, sigma: float) -> Tensor:
    """Return E‖r(x + σε) − x‖², by quadrature: (B,)."""
    epsilon, w = gaussian_nodes(NODES, x.shape[1])
    r = torch.stack([model.reconstruct(x + sigma * e) for e in epsilon])  # (N, B, D)
    return (w[:, None] * (r - x).square().sum(2)).sum(0)


def laplacian(model: Model, x: Tensor) -> Tensor:
    """Return Δr, the sum of the reconstruction's unmixed second derivatives: (B, D)."""
    H = vmap(hessian(lambda v: model.reconstruct(v[None])[0]))(x)  # (B, D, D, D)
    return H.diagonal(dim1=2, dim2=3).sum(2)  # type: ignore[no-any-return]


class SmallNoise(Claim):
    title = "Small noise is a contractive penalty"
    notes = ("6.1",)
    statement = """To the squared error, small Gaussian noise on the input adds σ² times the sum of
        the squared norm of the reconstruction's Jacobian and the inner product of its error with
        its Laplacian, up to terms of order σ⁴."""
    formula = r"""$E\,\|r(x + \sigma\epsilon) - x\|^2 = \|r(x) - x\|^2 + \sigma^2\left(\|J_r\|_F^2
        + (r(x) - x)\cdot\Delta r(x)\right) + O(\sigma^4)$"""
    source = """Bishop, 1995, Training with Noise is Equivalent to Tikhonov Regularization; Alain
        and Bengio, 2014, What Regularized Auto-Encoders Learn"""
    correction = """Noise penalises the Jacobian of the reconstruction; the contractive autoencoder
        penalises that of the encoder. The Laplacian's term may be dropped only if r(x) = x."""
    wrong_version = """The expansion without the Laplacian; the expansion with the encoder's
        Jacobian."""
    caption = """What each expansion leaves unexplained, against the noise, on logarithmic axes: the
        right one's residual falls as σ⁴, the wrong ones' as σ². And what noise adds to the squared
        error, exactly and by each expansion."""

    def run(self, seed: int) -> Results:
        networks = mlps(16, activation="Tanh")
        model = UndercompleteAutoEncoder((2,), 3, value_range=None, **networks)
        model.double().freeze()
        x = torch.randn(20, 2).double()
        error = model.reconstruct(x) - x
        J_r = squared_reconstruction_jacobian(model, x).detach()
        curvature = (error * laplacian(model, x)).sum(1).detach()
        expansions = {
            "right": J_r + curvature,
            "without the Laplacian": J_r,
            "encoder's Jacobian": squared_jacobian(model, x).detach() + curvature,
        }
        exact = {float(s): noisy_error(model, x, float(s)) for s in SIGMAS}
        clean = squared_error(model.reconstruct(x), x)
        residuals = {
            name: [float((e - clean - s**2 * second).abs().mean()) for s, e in exact.items()]
            for name, second in expansions.items()
        }

        def spread(residual: list[float]) -> float:
            """Return the largest over the smallest residual/σ⁴, which is 1 if it is constant."""
            ratio = torch.tensor(residual).double() / SIGMAS**4
            return float(ratio.max() / ratio.min())

        right = residuals.pop("right")
        what = "largest over smallest residual/σ⁴, from σ = 0.01 to 0.1"
        wrong = {name: spread(residual) for name, residual in residuals.items()}
        yield Check(what, spread(right), wrong, at_most=1.1)
        what = "order of the residual in σ"
        wrong = {name: order(SIGMAS, residual) for name, residual in residuals.items()}
        yield Check(what, order(SIGMAS, right), wrong, at_least=3.9, at_most=4.1)

        figure, axes = panel("what is left", "σ", "mean |residual|")
        loglog(axes, SIGMAS, {"right": right, **residuals}, [0.01, 0.02, 0.05, 0.1])
        added, axes = panel("what noise adds", "σ", "added squared error")
        axes.plot(SIGMAS, [float((e - clean).mean()) for e in exact.values()], "ko", label="exact")
        for name, second in expansions.items():
            axes.plot(SIGMAS, float(second.mean()) * SIGMAS**2, label=name)
        legend(axes)
        yield from (figure, added)
