"""Randomness without state: every draw is a function of what it is drawn for.

A training step's noise is a function of (seed, epoch, batch, rank), and an evaluated example's of
(seed, example), so that a resumed run repeats an uninterrupted one, and evaluations agree at any
batch size and on any number of processes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator, Tensor


def seed_of(*key: int) -> int:
    """Mix a key of non-negative integers into one 32-bit seed.

    >>> seed_of(0, 1, 2) == seed_of(0, 1, 2), seed_of(0, 1, 2) == seed_of(0, 2, 1)
    (True, False)
    """
    return int(np.random.SeedSequence(key).generate_state(1)[0])


def generator_of(*key: int, device: torch.device | str = "cpu") -> Generator:
    """Return a generator on `device` seeded by `seed_of(*key)`."""
    return Generator(device).manual_seed(seed_of(*key))


def reseed(seed: int, device: torch.device) -> None:
    """Seed the default generators that work on `device` draws from: the CPU's and its own.

    torch.manual_seed seeds those of every kind of device, and formats the call stack for each
    kind that is absent, which takes longer than a small model's forward pass.
    """
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def row_seeds(seed: int, index: Tensor) -> list[int]:
    """One 32-bit seed per example, each a function of (seed, index[b]) alone."""
    return ((seed_of(seed) + index.cpu()) % 2**32).tolist()  # type: ignore[no-any-return]
