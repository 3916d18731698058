"""How well examples come back, from themselves and from noise."""

import torch

from ae_lightning.corruptions import GaussianNoise, corrupt_by_index
from ae_lightning.inference.inputs import Inputs
from ae_lightning.inference.measures.figures import (
    STANDARD,
    Averages,
    Figure,
    Settings,
    elements,
    pairs,
)
from ae_lightning.inference.trained import TrainedModel
from ae_lightning.metrics import SSIM_SIDE, psnr, squared_error, ssim

SIGMAS = (0.05, 0.1, 0.2, 0.4)  # of the noise, in units of the data


@torch.no_grad()
def reconstruction(
    trained: TrainedModel, inputs: Inputs, settings: Settings = STANDARD
) -> list[Figure]:
    r"""Measure the mean squared error of r(x), its PSNR, the structural similarity, and the gain

    .. math:: 10 \log_{10} \frac{E ‖\tilde x − x‖^2}{E ‖r(\tilde x) − x‖^2}

    in decibels of denoising x̃ = x + σ ε, ε being the same for every σ. PSNR is that of the mean
    squared error over all.
    """
    model, found, D = trained.model, Averages(), elements(trained.shape)
    unit = GaussianNoise(1.0)
    similar = model.value_range is not None and len(trained.shape) == 3
    similar = similar and min(trained.shape[1:]) >= SSIM_SIDE
    for pair in pairs(trained, inputs, settings.batch_size, "Reconstruction"):
        x = pair.x
        r = model.reconstruct(x)
        found.add(mse=squared_error(r, x) / D)
        if similar and model.value_range is not None:
            found.add(ssim=ssim(r, x, model.value_range))
        epsilon = corrupt_by_index(unit, torch.zeros_like(x), settings.seed, pair.places)
        size = epsilon.square().flatten(1).sum(1)
        for sigma in SIGMAS:
            error = squared_error(model.reconstruct(x + sigma * epsilon), x)
            found.add(**{f"noise_{sigma}": sigma**2 * size, f"left_{sigma}": error})
    figures = [found.figure("mse", "a pixel" if len(trained.shape) == 3 else "an element")]
    if model.value_range is not None:
        value = psnr(torch.tensor(found.mean("mse")), model.value_range)
        figures.append(decibels("psnr", float(value), found, "mse"))
    if similar:
        figures.append(found.figure("ssim"))
    return figures + [gain(found, sigma) for sigma in SIGMAS]


def gain(found: Averages, sigma: float) -> Figure:
    """The gain of denoising at σ; what the noise itself varies by is little beside the rest."""
    ratio = torch.tensor(found.mean(f"noise_{sigma}") / found.mean(f"left_{sigma}"))
    value = float(10 * ratio.log10())
    return decibels(f"denoising_gain_{sigma}", value, found, f"left_{sigma}")


def decibels(name: str, value: float, found: Averages, of: str) -> Figure:
    """A figure of 10 log₁₀ of a mean, with the mean's relative error carried over."""
    relative = found.error(of) / max(found.mean(of), 1e-300)
    return Figure(name, value, "dB", float(10 / torch.tensor(10.0).log() * relative))
