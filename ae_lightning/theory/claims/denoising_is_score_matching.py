"""Denoising is score matching: the two objectives differ by a constant."""

import math

import torch
from torch import Tensor

from ae_lightning import geometry
from ae_lightning.core.types import Pair
from ae_lightning.datamodules import MixtureOfGaussians
from ae_lightning.model import Model
from ae_lightning.theory.claims.denoising_learns_the_score import denoiser
from ae_lightning.theory.numerics import gaussian_nodes
from ae_lightning.theory.panels import legend, panel
from ae_lightning.theory.proof import Check, Claim, Results

SIGMA = 0.5
NODES = 10  # per dimension, of four
NETWORKS = 8


def losses(models: list[Model]) -> dict[str, Tensor]:
    """Return every model's loss by denoising, and by matching the score of p_σ and that of p.

    The means over x and x̃ are sums over Gaussian nodes, because sampling noise would hide a small
    difference between large losses.
    """
    toy = MixtureOfGaussians()
    points, weights = gaussian_nodes(NODES, 4)
    K = len(toy.means)
    x = (toy.means[:, None] + toy.width * points[:, :2]).flatten(0, 1)
    x_tilde = x + SIGMA * points[:, 2:].repeat(K, 1)
    weights = weights.repeat(K) / K
    smoothed, unsmoothed = toy.score(x_tilde, SIGMA), toy.score(x_tilde)
    places = torch.arange(len(x))

    def mean_square(error: Tensor) -> Tensor:
        return weights @ error.square().sum(1) / 2

    found: dict[str, list[Tensor]] = {"denoising": [], "smoothed": [], "unsmoothed": []}
    for model in models:
        # −log p(x|x̃) is ½σ²‖s − (x − x̃)/σ²‖² plus a constant.
        D = weights @ model.distortion(model.propagate(Pair(x_tilde, x, places, places)))
        s = geometry.score(model, x_tilde, SIGMA)
        found["denoising"].append((D - math.log(2 * math.pi * SIGMA**2)) / SIGMA**2)
        found["smoothed"].append(mean_square(s - smoothed))
        found["unsmoothed"].append(mean_square(s - unsmoothed))
    return {name: torch.stack(values) for name, values in found.items()}


class DenoisingIsScoreMatching(Claim):
    title = "Denoising is score matching"
    notes = ("5.3",)
    statement = """The denoising loss and the mean squared distance from the smoothed density's
        score differ by a constant that is the same for every network, so minimising one minimises
        the other."""
    formula = r"""$\frac{1}{2} E\,\left\|s_\theta(\tilde x) -
        \frac{x - \tilde x}{\sigma^2}\right\|^2 =
        \frac{1}{2} E\,\left\|s_\theta(\tilde x) - \nabla\log p_\sigma(\tilde x)\right\|^2 + C$"""
    source = "Vincent, 2011, A Connection Between Score Matching and Denoising Autoencoders"
    correction = """The score that is matched is the smoothed density's; for that of the data's own
        density the difference depends on the network."""
    wrong_version = "The score of the data's own density, unsmoothed."
    caption = """The difference between the two losses, one dot per untrained network, with ever
        larger weights: constant for the smoothed score, but not for the unsmoothed one."""

    def run(self, seed: int) -> Results:
        models: list[Model] = []
        for size in torch.linspace(0.5, 2.5, NETWORKS).tolist():
            model = denoiser(SIGMA)
            with torch.no_grad():
                for weights in model.parameters():
                    weights.mul_(size)
            model.double().freeze()
            models.append(model)
        found = losses(models)

        def spread(values: Tensor) -> float:
            return float(values.max() - values.min())

        denoising, right = found.pop("denoising"), found["smoothed"]
        what = "spread of denoising − matching over networks"
        wrong = {"unsmoothed score": spread(denoising - found["unsmoothed"])}
        yield Check(what, spread(denoising - right), wrong, at_most=0.02)
        yield Check("spread of the loss itself over networks", spread(denoising), at_least=0.5)

        figure, axes = panel("denoising − score matching", "denoising loss", "difference − mean")
        for name, values in found.items():
            difference = denoising - values
            axes.plot(denoising, difference - difference.mean(), "o", label=f"{name} score")
        axes.axhline(0, color="gray", linewidth=0.8)
        legend(axes)
        yield figure
