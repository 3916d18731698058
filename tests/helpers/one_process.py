"""Data and noise that are the same on several processes as on one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ae_lightning import autoencoder
from ae_lightning.core.distributed import rank_and_world
from ae_lightning.core.randomness import seed_of
from ae_lightning.corruptions import Compose, Corruption, GaussianNoise, Masking, corrupt_by_index
from ae_lightning.datamodules import InMemory, PairDataModule
from ae_lightning.datamodules.loading.datasets import BatchDraw
from helpers.cases import SHAPE

TRAIN, VAL = 57, 13  # no multiples of the batches, of 2 or of 3
GLOBAL, VAL_BATCH = 22, 4
EPOCHS, STEPS = 2, 4


class Blobs(PairDataModule):
    """Images of random numbers."""

    shape = SHAPE

    def read(self) -> dict[str, InMemory]:
        draw = torch.rand(TRAIN + VAL, *SHAPE, generator=torch.Generator().manual_seed(1))
        x = (draw * 255).byte()
        y = torch.arange(len(x))
        return {name: InMemory(x[s], y[s]) for name, s in SPLITS.items()}


class OfOneProcess(Blobs):
    """The same, with corruption that is a function of (epoch, batch, example) on any rank."""

    def _drawn(
        self, process: Corruption, x: Tensor, draw: BatchDraw, split: str, purpose: int
    ) -> Tensor:
        if draw.key is None or not process.random:
            return super()._drawn(process, x, draw, split, purpose)
        return corrupt_by_index(process, x, seed_of(*draw.key[:3], purpose), draw.rows)


def corruption() -> Corruption:
    return Compose([GaussianNoise(0.3), Masking(0.2)])


SPLITS = {"train": slice(TRAIN), "val": slice(TRAIN, None), "test": slice(TRAIN, None)}


class RowsOfOneProcess(TorchDispatchMode):
    """Draw the noise of the global batch, and keep of it the rows of this process's shard."""

    def __init__(self, local: int) -> None:
        super().__init__()
        self.local, (self.rank, self.world) = local, rank_and_world()

    def widened(self, value: Any) -> Any:
        if isinstance(value, Tensor) and self.local in value.shape:
            return value.repeat_interleave(self.world, value.shape.index(self.local))
        if isinstance(value, list) and self.local in value:
            return [n * self.world if n == self.local else n for n in value]
        return value

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        wide = [self.widened(value) for value in args]
        drawn = func(*wide, **kwargs)
        if any(w is not value for w, value in zip(wide, args, strict=True)):
            axis = drawn.shape.index(self.local * self.world)
            drawn = drawn.unflatten(axis, (self.local, self.world)).select(axis + 1, self.rank)
        return args[0].copy_(drawn) if func._schema.is_mutable else drawn.contiguous()


@contextmanager
def noise_of_one_process() -> Iterator[None]:
    """Make the noise of all ranks together what one process draws for the whole batch."""
    world = rank_and_world()[1]
    if world == 1:
        yield
        return
    with (
        RowsOfOneProcess(GLOBAL // world),
        patch.object(autoencoder, "seed_of", lambda *key: seed_of(*key[:3], 0)),
    ):
        yield
