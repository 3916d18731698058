"""Randomness without state: every draw is a function of what it is drawn for.

A training step's noise is a function of (seed, epoch, batch, rank), and an evaluated example's of
(seed, example). So a resumed run repeats an uninterrupted one, and evaluations agree for any batch
size and any number of processes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import Generator, Tensor

from ae_lightning.core.errors import UsageError, at_least

LARGEST_SEED: Final = 2**64 - 1  # that torch takes


def seed_of(*key: int) -> int:
    """Mix a key of integers into one 32-bit seed, one after another, as SplitMix64 does.

    >>> seed_of(0, 1, 2) == seed_of(0, 1, 2), seed_of(0, 1, 2) == seed_of(0, 2, 1)
    (True, False)
    """
    # Plain integers, since numpy's SeedSequence takes a fiftieth of a small model's step.
    h = 0
    for k in key:
        h = (h + k + 0x9E3779B97F4A7C15) % 2**64
        h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        h = (h ^ h >> 27) * 0x94D049BB133111EB % 2**64
        h ^= h >> 31
    return h >> 32


def require_seed(seed: int) -> None:
    """Raise UsageError if a seed is none that torch's generators take."""
    at_least("seed", seed, 0)
    if seed > LARGEST_SEED:
        raise UsageError(f"seed is {seed}: expected at most {LARGEST_SEED}.")


def generator_of(*key: int, device: torch.device | str = "cpu") -> Generator:
    """Return a generator on `device` seeded by `seed_of(*key)`."""
    return Generator(device).manual_seed(seed_of(*key))


def reseed(seed: int, device: torch.device) -> None:
    """Seed the default generators that work on `device` draws from: the CPU's and the device's.

    torch.manual_seed seeds those of every kind of device, and formats the call stack for each kind
    that is absent, which takes longer than a small model's forward pass.
    """
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Draw by a seed from the default generators, whose states are then as they were before.

    >>> with seeded(0, torch.device("cpu")):
    ...     first = torch.rand(1)
    >>> with seeded(0, torch.device("cpu")):
    ...     print(torch.rand(1) == first)
    tensor([True])
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        reseed(seed, device)
        yield


def row_seeds(seed: int, index: Tensor) -> list[int]:
    """Return one 32-bit seed per example, each a function of (seed, index[b]) alone."""
    return ((seed_of(seed) + index.cpu()) % 2**32).tolist()  # type: ignore[no-any-return]


def uniform_by_index(seed: int, index: Tensor, n: int) -> Tensor:
    """Draw uniforms in (0, 1), float64 (B, n), whose row b is a function of (seed, index[b]) alone.

    Row b is the stream of a SplitMix64 generator: the same on every device, in any batch.

    References:
        | Fast Splittable Pseudorandom Number Generators (Steele, Lea and Flood, 2014)

    >>> u = uniform_by_index(0, torch.tensor([5, 7]), 3)
    >>> torch.equal(u[1:], uniform_by_index(0, torch.tensor([7]), 3)), u.shape
    (True, torch.Size([2, 3]))
    """
    key = _mix(index * _GOLDEN + seed_of(seed))
    steps = torch.arange(1, n + 1, device=index.device) * _GOLDEN
    u: Tensor = _shifted(_mix(key[:, None] + steps), 11).double()  # 53 bits: all float64 holds
    return ((u + 0.5) * 2.0**-53).clamp_(max=1 - 2.0**-53)  # the largest would round to 1


def _signed(constant: int) -> int:
    """Return a 64-bit constant as int64 holds it; its products wrap around as unsigned ones do."""
    return constant - 2**64 if constant >= 2**63 else constant


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_ROUNDS = ((30, _signed(0xBF58476D1CE4E5B9)), (27, _signed(0x94D049BB133111EB)))


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Shift to the right, filling with zeros."""
    shifted: Tensor = (z >> bits) & (2 ** (64 - bits) - 1)
    return shifted


def _mix(z: Tensor) -> Tensor:
    for bits, factor in _ROUNDS:
        z = (z ^ _shifted(z, bits)) * factor
    return z ^ _shifted(z, 31)
