"""Gradients that accumulate for an optimizer step: cut in two by a checkpoint, or by an epoch."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from ae_lightning.core.distributed import rank_and_world
from ae_lightning.training.sharding import full, sharded_like


def collect(model: nn.Module) -> dict[str, Tensor]:
    """Return every rank's gradients (W, …) by name, or the whole one (1, …) if it is sharded.

    All processes must call this together; only rank zero gets them.
    """
    rank, world = rank_and_world()
    found = {}
    for name, p in model.named_parameters():
        if p.grad is None:
            continue
        each = [full(p.grad)]
        if world > 1 and not isinstance(p.grad, DTensor):
            each = [torch.empty_like(p.grad) for _ in range(world)]
            dist.all_gather(each, p.grad.contiguous())
        if rank == 0:
            found[name] = torch.stack(each).cpu()
    return found


def restore(model: nn.Module, collected: Mapping[str, Tensor]) -> None:
    """Give every parameter its gradient again: this rank's own, or the mean if ranks differ now."""
    rank, world = rank_and_world()
    for name, p in model.named_parameters():
        if name in collected:
            each = collected[name]
            same = len(each) == world and not isinstance(p, DTensor)
            p.grad = sharded_like(each[rank] if same else each.mean(0), p)


def accumulation_schedulers(trainer: Any) -> list[GradientAccumulationScheduler]:
    """Those whose epochs differ in how many batches accumulate for a step."""
    return [c for c in trainer.callbacks if isinstance(c, GradientAccumulationScheduler)]


def reschedule(trainer: Trainer) -> None:
    """Have a GradientAccumulationScheduler do what it does at an epoch's start, in its midst."""
    for callback in accumulation_schedulers(trainer):
        callback.on_train_epoch_start(trainer)


def average(parameters: Iterable[Tensor], batches: int, planned: int) -> None:
    """Make gradients the mean over the batches of a step, if the epoch ended before all planned.

    Lightning divides each batch's gradient by the number that was planned.
    """
    if batches < planned:
        for p in parameters:
            if p.grad is not None:
                p.grad.mul_(planned / batches)
