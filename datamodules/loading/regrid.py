"""Resume where training stopped even if the global batch now has another size."""

from typing import Annotated, Any, NamedTuple, NotRequired

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_info
from pydantic import Field
from typing_extensions import TypedDict

from ae_lightning.core.distributed import rank_and_world
from ae_lightning.core.fingerprints import Fingerprint

from .batch_samplers import TrainingSampler


class SavedGrid(TypedDict):
    """A `BatchGrid` in a checkpoint."""

    processes: Annotated[int, Field(ge=1, le=2**31)]
    batch: Annotated[int, Field(ge=1, le=2**53)]
    epoch: Annotated[int, Field(ge=0, le=2**53)]
    first: Annotated[int, Field(ge=-(2**53), le=2**53)]
    fingerprint: NotRequired[Fingerprint | None]  # of the data that it cuts


class BatchGrid(NamedTuple):
    """How an epoch's order is cut into global batches.

    Args:
        processes: how many processes share a global batch.
        batch: how many examples a global batch holds.
        epoch: the epoch that `first` belongs to; every other epoch begins at row 0.
        first: the row of that epoch's order where batch 0 begins.
    """

    processes: int
    batch: int
    epoch: int = 0
    first: int = 0

    def __str__(self) -> str:
        """Put it into words.

        >>> str(BatchGrid(1, 16))
        '1 process with 16 examples a step'
        """
        processes = "process" if self.processes == 1 else "processes"
        return f"{self.processes} {processes} with {self.batch} examples a step"


class Regrid(Callback):
    """Recount an epoch's batches, so that training resumes at the first example not yet seen.

    This replaces the `grid` of the datamodule; `former` is the one that training stopped on.
    """

    def __init__(self, data: Any, former: BatchGrid) -> None:
        self.data, self.former = data, former

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        sampler: TrainingSampler = self.data.training_sampler()
        size, former = sampler.global_batch, self.former
        epoch, progress = trainer.current_epoch, trainer.fit_loop.epoch_loop.batch_progress
        batches, first = int(trainer.num_training_batches), 0
        done = batches
        if not progress.is_last_batch:
            seen = former.batch * progress.current.ready
            seen += former.first if former.epoch == epoch else 0
            whole = len(sampler.examples) if batches == len(sampler) else batches * size
            done = batches - max(0, whole - seen) // size
            first = seen - done * size
        change = done - progress.current.ready
        for count in ("ready", "started", "processed", "completed"):
            setattr(progress.current, count, getattr(progress.current, count) + change)
        self.data.grid = BatchGrid(rank_and_world()[1], size, epoch, first)
        rank_zero_info(
            f"{self.data.grid} from here on, after {former}: every example is still seen once an "
            "epoch, but the figures are not those of an uninterrupted run."
        )
