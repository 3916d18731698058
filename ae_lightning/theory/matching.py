"""Denoising is score matching: the two objectives differ by a constant."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ae_lightning import geometry
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.datamodules import MixtureOfGaussians
from ae_lightning.randomness import generator_of
from ae_lightning.theory.base import Check, Claim, Outcome
from ae_lightning.theory.panels import legend, panel
from ae_lightning.theory.score import denoiser
from ae_lightning.types import Pair

SIGMA = 0.5
DRAWS, CHUNK = 200_000, 50_000
NETWORKS = 8


def half_square(error: Tensor) -> Tensor:
    """½‖error‖², summed over the batch."""
    return error.square().sum() / 2


def losses(models: list[AutoEncoder], seed: int) -> dict[str, Tensor]:
    """Every model's loss by denoising, and by matching the score of p_σ and of p."""
    toy, generator = MixtureOfGaussians(), generator_of(seed)
    totals = {name: torch.zeros(len(models)) for name in ("denoising", "smoothed", "unsmoothed")}
    places = torch.arange(CHUNK)
    for _ in range(DRAWS // CHUNK):
        x = toy.sample(CHUNK, generator)
        # Noise in opposite pairs: what one adds to the denoising loss, the other nearly takes away.
        half = torch.randn(CHUNK // 2, 2, generator=generator)
        x = torch.cat([x[: CHUNK // 2]] * 2)
        x_tilde = x + SIGMA * torch.cat([half, -half])
        smoothed, unsmoothed = toy.score(x_tilde, SIGMA), toy.score(x_tilde)
        for i, model in enumerate(models):
            # −log p(x|x̃) is ½σ²‖s − (x − x̃)/σ²‖², and a constant.
            D = model.distortion(model.propagate(Pair(x_tilde, x, places, places))).sum()
            s = geometry.score(model, x_tilde, SIGMA)
            totals["denoising"][i] += D / SIGMA**2
            totals["smoothed"][i] += half_square(s - smoothed)
            totals["unsmoothed"][i] += half_square(s - unsmoothed)
    means = {name: total / DRAWS for name, total in totals.items()}
    means["denoising"] -= math.log(2 * math.pi * SIGMA**2) / SIGMA**2
    return means


class DenoisingIsScoreMatching(Claim):
    title = "Denoising is score matching"
    statement = (
        "The denoising loss and the squared distance from the smoothed density's score differ by a "
        "constant that no network changes, so that minimising one minimises the other."
    )
    formula = (
        r"$\frac{1}{2} E\,\left\|s_\theta(\tilde x) - \frac{x - \tilde x}{\sigma^2}\right\|^2 ="
        r" \frac{1}{2} E\,\left\|s_\theta(\tilde x) - \nabla\log p_\sigma(\tilde x)\right\|^2 + C$"
    )
    source = "Vincent, 2011, A Connection Between Score Matching and Denoising Autoencoders"
    correction = (
        "It is the smoothed density's score that is matched; against that of the data's own "
        "density the difference depends on the network."
    )
    wrong_version = "The score of the data's own density, unsmoothed."
    caption = (
        "The difference of the two losses over untrained networks of growing weights, a dot each: "
        "constant against the smoothed score, and not against the unsmoothed one."
    )

    def run(self, seed: int) -> Outcome:
        models: list[AutoEncoder] = []
        for size in torch.linspace(0.5, 2.5, NETWORKS).tolist():
            model = denoiser(SIGMA)
            with torch.no_grad():
                for weights in model.parameters():
                    weights.mul_(size)
            model.freeze()
            models.append(model)
        found = losses(models, seed)

        def spread(values: Tensor) -> float:
            return float(values.max() - values.min())

        denoising, right = found.pop("denoising"), found["smoothed"]
        checks = [
            Check(
                "spread of denoising − matching over networks",
                spread(denoising - right),
                at_most=0.02,
                wrong={"unsmoothed score": spread(denoising - found["unsmoothed"])},
            ),
            Check(
                "spread of the loss itself over networks",
                spread(denoising),
                at_least=0.5,
            ),
        ]
        figure, axes = panel("denoising − score matching", "denoising loss", "difference − mean")
        for name, values in found.items():
            difference = denoising - values
            axes.plot(denoising, difference - difference.mean(), "o", label=f"{name} score")
        axes.axhline(0, color="gray", linewidth=0.8)
        legend(axes)
        return Outcome(checks, [figure])
