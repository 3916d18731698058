"""Which process this is among those that train together, and what they must share."""

import os
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def rank_and_world() -> tuple[int, int]:
    """Return this process's rank and the number of processes: (0, 1) if there is only one."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def first_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process will be rank zero, as its launcher says before training starts."""
    ranks = ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK")
    return all(int(environment.get(name, 0)) == 0 for name in ranks)


def launched_apart(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a launcher started several processes, so that none of them can hand on a value."""
    several = any(int(environment.get(name, 1)) > 1 for name in ("WORLD_SIZE", "SLURM_NTASKS"))
    return several or not first_process(environment)


def launch(environment: Mapping[str, str] = os.environ) -> str:
    """What the processes of one launch have in common: the launcher's ids, and a port."""
    names = ("TORCHELASTIC_RUN_ID", "SLURM_JOB_ID", "SLURM_STEP_ID", "LSB_JOBID", "MASTER_PORT")
    return " ".join(environment[name] for name in names if name in environment)


def gather(x: Tensor) -> Tensor:
    """Join the ranks' shards (B, …) into the global batch (W·B, …), in its order, differentiably.

    Rank r holds rows r, r + W, r + 2W, … of the global batch.

    >>> gather(torch.arange(3))
    tensor([0, 1, 2])
    """
    return x if rank_and_world()[1] == 1 else Gather.apply(x)


class Gather(torch.autograd.Function):
    """`gather` over several processes; torch's own misreads gradients with permuted axes."""

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
