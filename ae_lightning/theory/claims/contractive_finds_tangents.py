"""Contractive and denoising autoencoders find the tangents of the data manifold."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ae_lightning import geometry
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.callbacks.drawing.theme import COLOURS
from ae_lightning.callbacks.drawing.vectors import label_axes
from ae_lightning.corruptions import GaussianNoise
from ae_lightning.datamodules import Manifold, Ring
from ae_lightning.likelihoods import Gaussian
from ae_lightning.nn import UnitVariance
from ae_lightning.posteriors import Dirac
from ae_lightning.regularizers.contractive import Contractive
from ae_lightning.systems import DenoisingAutoEncoder, UndercompleteAutoEncoder
from ae_lightning.theory.fitting import adam, fit, mlps, quiet
from ae_lightning.theory.numerics import median_angle
from ae_lightning.theory.panels import legend, panel
from ae_lightning.theory.proof import Check, Claim, Results

D = 10
LATENT = 2
WEIGHT = 0.03
SIGMA = 0.1


def contractive(normalised: bool) -> AutoEncoder:
    """Return a contractive autoencoder whose code has unit variance, or is free to scale."""
    with quiet():  # a free code warns
        return AutoEncoder(
            shape=(D,),
            latent=LATENT,
            posterior=Dirac(UnitVariance() if normalised else None),
            likelihood=Gaussian(0.5**0.5),  # −log p is ‖x − r(x)‖² plus a constant
            regularizers={"contractive": Contractive(WEIGHT)},
            value_range=None,
            **mlps(128, 128),
            **adam(0.01),
        )


def unpenalised(kind: type[DenoisingAutoEncoder | UndercompleteAutoEncoder]) -> AutoEncoder:
    """Return an autoencoder without bottleneck or penalty, for noisy pairs or for clean ones."""
    options = {**mlps(128, 128), **adam(0.01)}
    return kind((D,), D, likelihood=Gaussian(SIGMA), value_range=None, **options)


class ContractiveFindsTangents(Claim):
    title = "Contraction finds the tangents"
    notes = ("7.2",)
    statement = """A code that must tell examples apart and resist every other change is sensitive
        only along the data manifold: the leading right singular vectors of its Jacobian are the
        tangents; so are those of a denoiser's reconstruction."""
    formula = r"""$J_f(x) = U S V^\top, \qquad \mathrm{span}(v_1, \ldots, v_d) \approx
        T_x\mathcal{M}$"""
    source = """Rifai et al., 2011, The Manifold Tangent Classifier; Alain and Bengio, 2014, What
        Regularized Auto-Encoders Learn"""
    correction = """With an untied decoder the contractive penalty alone is degenerate: f/c with
        g(c·) keeps the reconstruction and divides the penalty by c². Here the code is held at unit
        variance."""
    wrong_version = """A contractive code that is free to scale; a reconstruction trained without
        noise."""
    caption = """On a circle in ten dimensions, seen in its own plane: learned tangents (short
        lines) over the circle, and the share of points at which the learned tangent lies within an
        angle of the true one."""

    def run(self, seed: int) -> Results:
        toy = Ring(dimension=D)
        options = {"size": 20_000, "batch_size": 256, "seed": seed, "split_seed": seed}
        clean = Manifold(toy, **options)
        noisy = Manifold(toy, corruption=GaussianNoise(SIGMA), **options)
        x = clean.pairs("test", range(500)).x
        true = toy.tangents(x)

        found: dict[str, Tensor] = {}
        for name, model, data in (
            ("contractive", contractive(normalised=True), clean),
            ("free scale", contractive(normalised=False), clean),
            ("denoising", unpenalised(DenoisingAutoEncoder), noisy),
            ("without noise", unpenalised(UndercompleteAutoEncoder), clean),
        ):
            fit(model, data, 1500)
            f = model.reconstruct if model.latent == D else model.code
            found[name] = geometry.tangents(f, x, 1)[0]
        angles = {name: median_angle(T, true) for name, T in found.items()}
        what = "contractive code: median angle to the tangent, degrees"
        wrong = {"free scale": angles["free scale"]}
        yield Check(what, angles["contractive"], wrong, at_most=5.0)
        what = "denoiser's reconstruction: median angle to the tangent, degrees"
        wrong = {"without noise": angles["without noise"]}
        yield Check(what, angles["denoising"], wrong, at_most=3.0)

        for name in ("contractive", "free scale", "denoising"):
            yield lines(name, x[:40], found[name][:40, 0], toy.plane)
        yield distribution(found, true)


def lines(title: str, x: Tensor, tangents: Tensor, plane: Tensor) -> Figure:
    """Draw tangents (B, D) as short lines at x (B, D), in the circle's plane (2, D)."""
    figure, axes = panel(title)
    P = plane.float()
    ring = torch.linspace(0, 2 * torch.pi, 200)
    axes.plot(ring.cos(), ring.sin(), color="lightgray", linewidth=4)
    at, along = x @ P.T, 0.25 * tangents @ P.T
    ends = torch.stack([at - along, at + along])  # (2, B, 2)
    axes.plot(*ends.permute(2, 0, 1), color=COLOURS[1])
    label_axes(axes, ("x₁", "x₂"))
    axes.set(xlim=(-1.35, 1.35), ylim=(-1.35, 1.35), adjustable="box")
    return figure


def distribution(found: dict[str, Tensor], true: Tensor) -> Figure:
    """Draw the distribution of the angles between learned and true tangents."""
    figure, axes = panel("angles to the tangent", "degrees", "share of points")
    for name, T in found.items():
        cosine = (T * true).flatten(1).sum(1).abs().clamp(max=1)
        angles = cosine.acos().rad2deg().sort().values
        axes.plot(angles, torch.linspace(0, 1, len(angles)), label=name)
    axes.set(xlim=(0, 90))
    legend(axes, loc="lower right")
    return figure
