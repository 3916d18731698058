"""Pairs, as a data module yields them."""

import torch
from torch import Tensor

from ae_lightning.core.types import Pair
from ae_lightning.datamodules import PairDataModule


def pair_of(x: Tensor, x_tilde: Tensor | None = None) -> Pair:
    """A batch of clean examples, or of corrupted ones, without labels."""
    corrupted = x if x_tilde is None else x_tilde
    return Pair(corrupted, x, torch.zeros(len(x)), torch.arange(len(x)))


def everything(data: PairDataModule, split: str) -> Pair:
    """All pairs of a split, as one."""
    data.setup()
    return data.pairs(split, range(len(data.sets[split])))
