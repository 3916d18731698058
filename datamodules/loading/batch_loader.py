"""What the trainer iterates over: batches as samplers draw them, fetched and finished."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from ae_lightning.core.errors import UsageError
from ae_lightning.core.private_names import private

from .batch_samplers import EvaluationSampler, TrainingSampler
from .datasets import BatchDraw, Examples

T = TypeVar("T")
private("torch.utils.data:DataLoader", "_iterator")
private("torch.utils.data.dataloader:_MultiProcessingDataLoaderIter", "_shutdown_workers")


class Handed(Dataset[Any]):
    """A worker's examples, as it hands them over.

    Labels and rows go by value, as arrays: each tensor would take a file of shared memory, which
    costs more than they do. A UsageError is handed over too: raised, it would become a traceback.
    """

    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def __getitems__(self, draw: BatchDraw) -> tuple[Any, ...] | UsageError:
        try:
            x, y, draw = self.examples.__getitems__(draw)
        except UsageError as error:
            return UsageError(str(error))
        return x, y.numpy() if isinstance(y, Tensor) else y, draw.rows.numpy(), draw[1:]


def received(x: Tensor, y: Any, rows: NDArray[Any], of: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a worker has handed over: x, y and the draw, pinned as x is."""
    pinned = torch.cuda.is_available() and x.is_pinned()

    def tensor(values: NDArray[Any]) -> Tensor:
        found = torch.from_numpy(values)
        return found.pin_memory() if pinned else found

    return x, tensor(y) if isinstance(y, np.ndarray) else y, BatchDraw(tensor(rows), *of)


def as_it_is(batch: Any) -> Any:
    """Collate nothing."""
    return batch


class BatchLoader(Generic[T]):
    """Fetch what a sampler draws, here or in worker processes, and finish it.

    This is not torch's DataLoader, since the trainer would replace that one's sampler in a
    distributed run. It holds no state: the sampler reads its position from the trainer. Workers
    live until `release`.

    Args:
        dataset, batch_sampler: the examples, and what draws batches of them, anew each time.
        finish: makes of x, y and the draw what is yielded.
        workers: how many processes read ahead; 0 for none besides this one.
    """

    def __init__(
        self,
        dataset: Examples,
        batch_sampler: TrainingSampler | EvaluationSampler | Sequence[BatchDraw],
        finish: Callable[[Tensor, Tensor, BatchDraw], T],
        workers: int = 0,
    ) -> None:
        self.dataset, self.batch_sampler = dataset, batch_sampler
        self.finish, self.workers = finish, workers
        self._reading: DataLoader[Any] | None = None

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[T]:
        # Nothing runs until the first batch is wanted: only then does a resumed trainer know where
        # it stands.
        if self.workers == 0:
            for draw in self.batch_sampler:
                yield self.finish(*self.dataset.__getitems__(draw))
            return
        for batch in self._read_ahead():
            if isinstance(batch, UsageError):
                self.release()
                raise batch
            yield self.finish(*received(*batch))

    def _read_ahead(self) -> DataLoader[Any]:
        if self._reading is None:
            self._reading = DataLoader(
                Handed(self.dataset),
                batch_sampler=self.batch_sampler,  # type: ignore[arg-type]
                collate_fn=as_it_is,  # a batch is fetched whole
                num_workers=self.workers,
                persistent_workers=True,
                pin_memory=torch.cuda.is_available(),
                generator=Generator(),  # otherwise it would draw from torch's global one
            )
        return self._reading

    def release(self) -> None:
        """End the workers: garbage collection may close their queues before it tells them."""
        iterator = None if self._reading is None else self._reading._iterator
        if iterator is not None:
            iterator._shutdown_workers()  # type: ignore[attr-defined]
        self._reading = None

    # The trainer looks for these two to tell whether a loader can resume within an epoch.
    def state_dict(self) -> dict[str, int]:
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Do nothing: the position is the trainer's."""
