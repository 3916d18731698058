"""Which examples make each batch: a function of where training stands, the same on any machine."""

from collections.abc import Callable, Iterator, Sized

import torch
from torch.utils.data import Sampler

from ae_lightning.core.distributed import rank_and_world
from ae_lightning.core.errors import UsageError

from .datasets import BatchDraw, Examples


class TrainingSampler(Sampler[BatchDraw]):
    """Draw an epoch of training batches, in an order that is a function of (seed, epoch).

    Every process takes its share [rank::world] of each global batch of batch_size · world
    examples. Examples that do not fill a global batch are left out of this epoch; a set smaller
    than one global batch makes a single smaller one, of equal size on every process.

    Args:
        batch_size: examples per batch and process.
        position: returns where training stands: the epoch, how many of its batches are done, and
            the row of the epoch's order where batch 0 begins, which is 0 unless the epoch was
            begun with global batches of another size. It is called when the first batch is
            wanted, since a resumed trainer does not know earlier.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int,
        seed: int,
        position: Callable[[], tuple[int, int, int]],
    ) -> None:
        self.examples, self.batch_size = examples, batch_size
        self.seed, self.position = seed, position

    @property
    def global_batch(self) -> int:
        """How many examples the processes' batches hold together."""
        n, world = len(self.examples), rank_and_world()[1]
        if n < world:
            raise UsageError(f"{n} training examples cannot be shared by {world} processes.")
        return min(self.batch_size * world, n - n % world)

    def __len__(self) -> int:
        return len(self.examples) // self.global_batch

    def __iter__(self) -> Iterator[BatchDraw]:
        rank, world = rank_and_world()
        size = self.global_batch
        epoch, done, first = self.position()
        order = self.examples.order(self.seed, epoch)
        for batch in range(done, len(self)):
            start = first + batch * size
            rows = order[start : start + size][rank::world]
            yield BatchDraw(rows, (self.seed, epoch, batch, rank))


class EvaluationSampler(Sampler[BatchDraw]):
    """Draw every example once, in order, in batches of at most batch_size, dealt out in turn.

    The batches, and so what is measured on a batch as a whole, are the same on any number of
    processes. If the turns do not come out even, the processes without a batch of their own keep
    in step with one that counts elsewhere.
    """

    def __init__(self, examples: Sized, batch_size: int) -> None:
        self.examples, self.batch_size = examples, batch_size

    @property
    def _batches(self) -> int:
        return -(-len(self.examples) // self.batch_size)  # on all processes together

    def __len__(self) -> int:
        return -(-self._batches // rank_and_world()[1])

    def __iter__(self) -> Iterator[BatchDraw]:
        rank, world = rank_and_world()
        batches = torch.arange(len(self.examples)).tensor_split(self._batches)
        for place in range(rank, len(self) * world, world):
            yield BatchDraw(batches[place % len(batches)], counts=place < len(batches))
