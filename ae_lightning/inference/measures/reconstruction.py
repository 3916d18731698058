"""How well examples come back, from themselves and from noise."""

import torch
import torch.nn.functional as F
from torch import Tensor

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

SIGMAS = (0.05, 0.1, 0.2, 0.4, 0.8)  # of the noise, in units of the data
WINDOWS = (3, 5, 7)  # sides of the Wiener filter's, in pixels


@torch.no_grad()
def reconstruction(
    trained: TrainedModel, inputs: Inputs, settings: Settings = STANDARD
) -> list[Figure]:
    r"""Measure the mean squared error of r(x), its PSNR, the structural similarity, and the gain

    .. math:: 10 \log_{10} \frac{E ‖\tilde x − x‖^2}{E ‖r(\tilde x) − x‖^2}

    in decibels of denoising x̃ = x + σ ε, ε being the same for every σ. For images, it is also that
    of the best `wiener` filter. PSNR is that of the mean squared error over all.
    """
    model, found, D = trained.model, Averages(), elements(trained.shape)
    unit = GaussianNoise(1.0)
    images = len(trained.shape) == 3
    similar = model.value_range is not None and images
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
            x_tilde = x + sigma * epsilon
            error = squared_error(model.reconstruct(x_tilde), x)
            found.add(**{f"noise_{sigma}": sigma**2 * size, f"left_{sigma}": error})
            for side in WINDOWS if images else ():
                error = squared_error(wiener(x_tilde, sigma, side), x)
                found.add(**{f"left_{sigma}_by_{side}": error})
    figures = [found.figure("mse", "a pixel" if images else "an element")]
    if model.value_range is not None:
        value = psnr(torch.tensor(found.mean("mse")), model.value_range)
        figures.append(decibels("psnr", float(value), found, "mse"))
    if similar:
        figures.append(found.figure("ssim"))
    figures += [gain(found, sigma) for sigma in SIGMAS]
    return figures + [filtered(found, sigma) for sigma in SIGMAS if images]


def wiener(x_tilde: Tensor, sigma: float, side: int) -> Tensor:
    r"""Filter images (B, C, H, W) by m + (1 − σ²/max(v, σ²)) (x̃ − m), with zeros beyond the edge.

    m and v are the mean and the variance of x̃ over the side × side pixels around each.

    References:
        | Two-Dimensional Signal and Image Processing (Lim, 1990)
    """
    m, square = (F.avg_pool2d(t, side, 1, side // 2) for t in (x_tilde, x_tilde.square()))
    v = square - m.square()
    return m + (1 - sigma**2 / v.clamp(min=sigma**2)) * (x_tilde - m)  # type: ignore[no-any-return]


def filtered(found: Averages, sigma: float) -> Figure:
    """The gain at σ of the best Wiener filter."""
    side = min(WINDOWS, key=lambda side: found.mean(f"left_{sigma}_by_{side}"))
    note = f"windows of {side} × {side}, the best of {', '.join(map(str, WINDOWS))}"
    return gain(found, sigma, f"_by_{side}", "wiener_")._replace(note=note)


def gain(found: Averages, sigma: float, by: str = "", prefix: str = "") -> Figure:
    """The gain of denoising at σ; what the noise itself varies by is little beside the rest."""
    left = f"left_{sigma}{by}"
    ratio = torch.tensor(found.mean(f"noise_{sigma}") / found.mean(left))
    return decibels(f"denoising_gain_{prefix}{sigma}", float(10 * ratio.log10()), found, left)


def decibels(name: str, value: float, found: Averages, of: str) -> Figure:
    """A figure of 10 log₁₀ of a mean, with the mean's relative error carried over."""
    relative = found.error(of) / max(found.mean(of), 1e-300)
    return Figure(name, value, "dB", float(10 / torch.tensor(10.0).log() * relative))
