"""Contraction is local to the data: elsewhere the same map pulls points apart."""

import torch
from torch import Tensor

from ae_lightning import geometry
from ae_lightning.datamodules import Manifold, MixtureOfGaussians
from ae_lightning.likelihoods import Gaussian
from ae_lightning.regularizers.contractive import ReconstructionContractive
from ae_lightning.systems import UndercompleteAutoEncoder
from ae_lightning.theory.fitting import adam, fit, mlps
from ae_lightning.theory.panels import legend, panel
from ae_lightning.theory.proof import Check, Claim, Results

PAIR = 0.6  # the pair of points ±0.6, between the data at ±1


class ContractionIsLocal(Claim):
    title = "Contraction is local"
    notes = ("7.4",)
    statement = """The derivative of a contractive autoencoder's reconstruction is nearly zero at
        the data, yet the reconstruction moves two points between examples apart: the penalty says
        nothing about places without data."""
    formula = r"""$r'(x_i) \approx 0 \ \ \mathrm{at\ the\ data},\qquad
        |r(a) - r(b)| > |a - b| \ \ \mathrm{between\ them}$"""
    source = "Rifai et al., 2011, Contractive Auto-Encoders"
    correction = """The notes say that a contractive autoencoder maps neighbours closer together. It
        does so only near the training data; between two examples it must expand, to tell them
        apart."""
    wrong_version = """A pair at one of the data, which is drawn together, taken for every pair; the
        derivative of the same network without the penalty."""
    caption = """The reconstruction as a function of the input: flat at the two data points (dots),
        and steeper than the diagonal between them, where the pair of crosses is pulled apart."""

    def run(self, seed: int) -> Results:
        toy = MixtureOfGaussians(centres=[[-1.0], [1.0]], width=0.02)
        data = Manifold(toy, size=4000, batch_size=256, seed=seed, split_seed=seed)

        def trained(weight: float) -> UndercompleteAutoEncoder:
            options = {"value_range": None, **mlps(32, activation="Tanh"), **adam(0.01)}
            options["regularizers"] = {"contractive": ReconstructionContractive(weight)}
            model = UndercompleteAutoEncoder((1,), 1, likelihood=Gaussian(), **options)
            return fit(model, data, 1000)

        contractive, free = trained(0.1), trained(0.0)
        points, pair = torch.tensor([[-1.0], [1.0]]), torch.tensor([[-PAIR], [PAIR]])
        near = torch.tensor([[0.95], [1.05]])

        def slope(model: UndercompleteAutoEncoder) -> float:
            return float(geometry.jacobian(model.reconstruct, points).abs().max())

        def stretch(model: UndercompleteAutoEncoder, a: Tensor) -> float:
            return float((model.reconstruct(a)[1] - model.reconstruct(a)[0]).abs() / (a[1] - a[0]))

        wrong = {"without the penalty": slope(free)}
        yield Check("largest |r'| at the data", slope(contractive), wrong, at_most=0.05)
        what = f"|r(a) − r(b)| / |a − b| for a, b = ±{PAIR}"
        wrong = {"for a pair at one of the data": stretch(contractive, near)}
        yield Check(what, stretch(contractive, pair), wrong, at_least=1.2)

        figure, axes = panel("flat at the data, steep between", "x", "r(x)")
        line = torch.linspace(-1.6, 1.6, 201)[:, None]
        axes.plot(line, line, color="gray", linewidth=0.8)
        for name, model in {"contractive": contractive, "no penalty": free}.items():
            axes.plot(line, model.reconstruct(line), label=name)
        axes.plot(points, contractive.reconstruct(points), "ko")
        axes.plot(pair, contractive.reconstruct(pair), "kx")
        legend(axes)
        yield figure
