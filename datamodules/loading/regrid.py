"""Going on where training stopped, when the global batch is of another size by now."""

from __future__ import annotations

from typing import Any, NamedTuple

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info

from ae_lightning.core.distributed import rank_and_world

from .batches import TrainingDraws


class Grid(NamedTuple):
    """How an epoch's order is cut into global batches."""

    processes: int
    batch: int  # examples in a global batch
    epoch: int = 0  # the epoch that `first` is of: any other begins at row 0
    first: int = 0  # see `Position`


class Regrid(Callback):
    """Count an epoch's batches anew, so that training goes on at the next example it has not seen.

    Args:
        data: the datamodule, whose `grid` is replaced.
        former: the grid that training stopped on.
    """

    def __init__(self, data: Any, former: Grid) -> None:
        self.data, self.former = data, former

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        draws: TrainingDraws = self.data.training_draws()
        size, former = draws.global_batch, self.former
        epoch, progress = trainer.current_epoch, trainer.fit_loop.epoch_loop.batch_progress
        batches, first = int(trainer.num_training_batches), 0
        done = batches
        if not progress.is_last_batch:
            seen = former.batch * progress.current.ready
            seen += former.first if former.epoch == epoch else 0
            whole = draws.n if batches == len(draws) else batches * size
            done = batches - max(0, whole - seen) // size
            first = seen - done * size
        change = done - progress.current.ready
        for count in ("ready", "started", "processed", "completed"):
            setattr(progress.current, count, getattr(progress.current, count) + change)
        self.data.grid = Grid(rank_and_world()[1], size, epoch, first)
        rank_zero_info(
            f"{count_of(self.data.grid)} from here on, after {count_of(former)}: every example is "
            "still seen once an epoch, but the numbers are not those of an undisturbed run."
        )


def count_of(grid: Grid) -> str:
    """A grid's processes and examples a step, in words.

    >>> count_of(Grid(1, 16))
    '1 process with 16 examples a step'
    """
    processes = "process" if grid.processes == 1 else "processes"
    return f"{grid.processes} {processes} with {grid.batch} examples a step"
