"""Whole batches of one tensor in memory."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..data import images


class Batches:
    """So many batches of images (B, 1, 28, 28) in [0, 1], in a new order every time."""

    def __init__(self, batch: str, steps: str, root: str) -> None:
        self.images, self.batch, self.steps = images(root), int(batch), int(steps)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Tensor]:
        order = torch.randperm(len(self.images))[: self.batch * self.steps]
        for rows in order.split(self.batch):
            yield self.images.index_select(0, rows) / 255
