"""How close denoising comes to the score, where the density of the data is known."""

from typing import Any

import torch

from ae_lightning import geometry
from ae_lightning.corruptions import GaussianNoise, corrupt_by_index
from ae_lightning.inference.inputs import Inputs
from ae_lightning.inference.measures.figures import (
    STANDARD,
    Averages,
    Figure,
    NotDefined,
    Settings,
    pairs,
)
from ae_lightning.inference.trained import TrainedModel


@torch.no_grad()
def score(trained: TrainedModel, inputs: Inputs, settings: Settings = STANDARD) -> list[Figure]:
    r"""Measure the relative error of s = (r(x̃) − x̃)/σ², and its cosine with the true score

    .. math::
        \sqrt{\frac{E ‖s(\tilde x) − \nabla \log p_σ(\tilde x)‖^2}{E ‖\nabla \log p_σ(\tilde x)‖^2}}

    at x̃ = x + σ ε, with the σ of training. The data know their density by `toy`, as Manifold does.

    References:
        | A Connection Between Score Matching and Denoising Autoencoders (Vincent, 2011)
    """
    data: Any = inputs.data
    if not hasattr(data, "toy"):
        raise NotDefined(f"{type(data).__name__} does not know its density, as Manifold does.")
    noise = data.corruption
    if not isinstance(noise, GaussianNoise) or noise.largest is not None or noise.sigma == 0:
        raise NotDefined("the score is learned from Gaussian noise of one σ above 0.")
    found = Averages()
    for pair in pairs(trained, inputs, settings.batch_size, "Scores"):
        x_tilde = corrupt_by_index(noise, pair.x, settings.seed, pair.places)
        s = geometry.score(trained.model, x_tilde, noise.sigma).double()
        true = data.toy.score(x_tilde.double().cpu(), noise.sigma).to(s)
        found.add(
            error=(s - true).square().sum(1),
            product=(s * true).sum(1),
            learned=s.square().sum(1),
            true=true.square().sum(1),
        )
    error, product, learned, true = (found.mean(n) for n in ("error", "product", "learned", "true"))
    note = f"{len(inputs):,} examples, σ = {noise.sigma:g}"
    return [
        Figure("score_error", (error / true) ** 0.5, note=note),
        Figure("cosine_with_score", product / (learned * true) ** 0.5, note=note),
    ]
