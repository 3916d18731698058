"""The limit: the same autoencoder, trained in a loop by hand over one tensor in memory."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LR = 1e-3  # which all sides train at, though ours changes it by its schedule


def networks(conv: bool, latent: int = 16) -> tuple[nn.Module, nn.Module]:
    """The encoder and decoder of VariationalAutoEncoder, MLP or convolutional, put plainly."""
    if conv:
        encoder = nn.Sequential(
            *(nn.Conv2d(1, 16, 4, 2, 1), nn.SiLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.SiLU()),
            *(nn.Flatten(), nn.Linear(32 * 49, 256), nn.SiLU(), nn.Linear(256, 2 * latent)),
        )
        decoder = nn.Sequential(
            *(nn.Linear(latent, 256), nn.SiLU(), nn.Linear(256, 32 * 49), nn.SiLU()),
            *(nn.Unflatten(1, (32, 7, 7)), nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.SiLU()),
            nn.ConvTranspose2d(16, 1, 4, 2, 1),
        )
        return encoder, decoder
    encoder = nn.Sequential(
        *(nn.Flatten(), nn.Linear(784, 512), nn.SiLU(), nn.Linear(512, 256), nn.SiLU()),
        nn.Linear(256, 2 * latent),
    )
    decoder = nn.Sequential(
        *(nn.Linear(latent, 256), nn.SiLU(), nn.Linear(256, 512), nn.SiLU()),
        *(nn.Linear(512, 784), nn.Unflatten(1, (1, 28, 28))),
    )
    return encoder, decoder


def terms(
    encoder: nn.Module, decoder: nn.Module, log_sigma: Tensor, x: Tensor
) -> tuple[Tensor, Tensor]:
    """Distortion under one learned σ, and rate, of a batch x (B, 1, 28, 28), in nats."""
    mu, log_s = encoder(x).chunk(2, 1)
    s = log_s.exp()
    error = F.mse_loss(decoder(mu + s * torch.randn_like(mu)), x, reduction="sum") / len(x)
    constant = x[0].numel() * (log_sigma + math.log(2 * math.pi) / 2)
    rate = (mu.square() + s.square() - 1 - 2 * log_s).sum() / (2 * len(x))
    return error * (-2 * log_sigma).exp() / 2 + constant, rate


def now() -> float:
    """Seconds on a clock, once a GPU has done all that it was given to do."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def train(
    images: Tensor,
    conv: bool,
    batch: int,
    steps: int,
    epochs: int = 1,
    half: bool = False,
    compiled: bool | str = False,
) -> list[float]:
    """Train from scratch on images (N, 1, 28, 28), uint8, where they lie.

    Args:
        half: run the networks in bfloat16.
        compiled: compile encoder and decoder, in this mode of torch.compile if it names one.

    Returns:
        The seconds that a step took in each epoch.
    """
    device = images.device
    encoder, decoder = (network.to(device) for network in networks(conv))
    if compiled:
        for network in (encoder, decoder):
            network.compile(mode=compiled if isinstance(compiled, str) else None)
    log_sigma = nn.Parameter(torch.tensor(-1.2, device=device))
    parameters = [*encoder.parameters(), *decoder.parameters(), log_sigma]
    optimizer = torch.optim.Adam(parameters, lr=LR, fused=True)
    seconds = []
    with without_slow_check():
        for _ in range(epochs):
            start = now()
            order = torch.randperm(len(images), device=device)
            for step in range(steps):
                if compiled and device.type == "cuda":
                    torch.compiler.cudagraph_mark_step_begin()
                x = images.index_select(0, order[step * batch : (step + 1) * batch]) / 255
                with torch.autocast(device.type, torch.bfloat16, enabled=half):
                    distortion, rate = terms(encoder, decoder, log_sigma, x)
                optimizer.zero_grad()
                (distortion + rate).backward()
                optimizer.step()
            seconds.append((now() - start) / steps)
    return seconds


@contextmanager
def without_slow_check() -> Iterator[None]:
    """Look for GPUs as torch does on its own.

    Lightning's import sets a variable that has every optimizer step search for their driver.
    """
    name = "PYTORCH_NVML_BASED_CUDA_CHECK"
    value = os.environ.pop(name, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[name] = value
