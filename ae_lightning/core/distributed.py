"""What processes that train together must share."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy, Strategy
from torch import Tensor


def rank_and_world() -> tuple[int, int]:
    """This process's rank and the number of processes: (0, 1) where there is one."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def expect_unused(strategy: Strategy) -> None:
    """Let DDP look for parameters without a gradient at every step, which it else waits for."""
    if isinstance(strategy, DDPStrategy):
        strategy._ddp_kwargs.setdefault("find_unused_parameters", True)


def gather(x: Tensor) -> Tensor:
    """Join the ranks' shards (B, …) to the global batch (W·B, …), in its order, differentiably.

    Rank r holds rows r, r + W, r + 2W, … of the global batch.

    >>> gather(torch.arange(3))
    tensor([0, 1, 2])
    """
    if rank_and_world()[1] == 1:
        return x
    return Gather.apply(x)  # type: ignore[no-any-return]


class Gather(torch.autograd.Function):
    """`gather` over several processes; torch's own misreads gradients whose axes are permuted."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        shards = [x.new_empty(x.shape) for _ in range(rank_and_world()[1])]
        dist.all_gather(shards, x.contiguous())
        return torch.stack(shards, dim=1).flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        rank, world = rank_and_world()
        g = g.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(g)
        return g[rank::world]
