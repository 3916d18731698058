"""Whole batches by index, in an order that is a function of where training stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, Protocol

import torch
from torch import Tensor

from ae_lightning.core.distributed import rank_and_world
from ae_lightning.core.errors import UsageError
from ae_lightning.core.randomness import generator_of
from ae_lightning.core.types import Pair

ORDER: Final = 4  # keeps the order of an epoch apart from other draws for (seed, epoch)

Key = tuple[int, int, int, int]  # (seed, epoch, batch, rank): what a training batch is drawn for


class Draw(NamedTuple):
    """Which examples make a batch, and the key of its noise; no key in evaluation."""

    key: Key | None
    rows: Tensor  # (B,)


@dataclass(frozen=True)
class Batch:
    """A batch as it is stored: integers, labels, places in the split."""

    x: Tensor  # uint8 in 0 … 255, or floats (B, *S)
    y: Tensor  # (B,)
    places: Tensor  # (B,)
    key: Key | None

    def _each(self, f: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(f(self.x), f(self.y), f(self.places), self.key)

    def to(self, device: torch.device) -> Batch:
        # Only copies to a GPU may go on in the background: others would be read too early.
        return self._each(lambda t: t.to(device, non_blocking=device.type == "cuda"))

    def pin_memory(self) -> Batch:
        return self._each(Tensor.pin_memory)


class Draws(Protocol):
    """An epoch's batches, by their rows."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Draw]: ...


class SharedDraws(Draws, Protocol):
    """This process's share of an epoch's batches."""

    @property
    def counted(self) -> int:
        """How many of them count: any after these are another's too, and keep processes in step."""


class Position(NamedTuple):
    """Where training stands: the epoch, how many of its batches are done, and where they began.

    Batch b has the rows from first + b · (global batch) on of the epoch's order; `first` is 0 but
    in an epoch that was begun on another number of processes.
    """

    epoch: int
    done: int
    first: int = 0


class Order(Protocol):
    """An epoch's order of examples, read slice by slice."""

    def __getitem__(self, places: slice) -> Tensor: ...


class Batches(Protocol):
    """An epoch's batches, each time anew."""

    def __iter__(self) -> Iterator[Batch]: ...
    def release(self) -> None:
        """End what works for them in the background."""


class Examples(ABC):
    """The examples of one split, wherever they lie."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, draw: Draw) -> Batch: ...

    @abstractmethod
    def select(self, rows: Tensor) -> Examples:
        """Return those examples alone, in that order."""

    def near(self, device: torch.device) -> Examples:
        """Return the same examples, on the device where that is worth it."""
        return self

    def order(self, seed: int, epoch: int) -> Order:
        """Return an epoch's training order, as a function of (seed, epoch)."""
        return permutation(len(self), seed, epoch)

    def batches(self, draws: Draws) -> Batches:
        """Return the draws' batches, fetched in order each time they are iterated over."""
        return Fetched(self, draws)


@dataclass(frozen=True, eq=False)
class Fetched:
    """Batches fetched one by one, when each is wanted."""

    examples: Examples
    draws: Draws

    def __iter__(self) -> Iterator[Batch]:
        return map(self.examples.__getitem__, self.draws)

    def release(self) -> None:
        """Hold nothing that needs to end."""


class Arrays(Examples):
    """Examples held in memory: x (N, *S), uint8 or float, and labels y (N,)."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, draw: Draw) -> Batch:
        rows = draw.rows.to(self.x.device, non_blocking=self.x.is_cuda)
        # index_select copies whole rows, a tenth of the time of indexing element by element.
        return Batch(self.x.index_select(0, rows), self.y.index_select(0, rows), rows, draw.key)

    def select(self, rows: Tensor) -> Arrays:
        return Arrays(self.x.index_select(0, rows), self.y.index_select(0, rows))

    def near(self, device: torch.device) -> Arrays:
        """Return the same arrays on `device`; on a GPU, where half its free memory holds them."""
        if device.type == "cuda" and self.x.device != device:
            free, _ = torch.cuda.mem_get_info(device)
            if self.x.nbytes > free // 2:
                return self
        return Arrays(self.x.to(device), self.y.to(device))


def permutation(n: int, seed: int, epoch: int) -> Tensor:
    """A permutation of n that is a function of (seed, epoch)."""
    return torch.randperm(n, generator=generator_of(seed, epoch, 0, 0, ORDER))


class TrainingDraws:
    """An epoch of training batches, in an order that is a function of (seed, epoch).

    Every process takes its share [rank::world] of each global batch of batch_size · world
    examples. What does not fill a global batch is left out of this epoch; a set smaller than one
    makes one smaller batch, of equal size on every process.

    Args:
        n: how many examples there are.
        batch_size: examples per batch and process.
        seed: what the order is a function of.
        position: returns where training stands. It is asked when the first batch is wanted,
            since only then a resumed trainer knows.
        order: returns the order for a seed and an epoch; a permutation of all, if None.
    """

    def __init__(
        self,
        n: int,
        batch_size: int,
        seed: int,
        position: Callable[[], tuple[int, ...]],
        order: Callable[[int, int], Order] | None = None,
    ) -> None:
        self.n, self.batch_size, self.seed, self.position = n, batch_size, seed, position
        self.order = order or partial(permutation, n)

    @property
    def global_batch(self) -> int:
        """How many examples the processes' batches hold together."""
        world = rank_and_world()[1]
        if self.n < world:
            raise UsageError(f"{self.n} training examples cannot be shared by {world} processes.")
        return min(self.batch_size * world, self.n - self.n % world)

    @property
    def counted(self) -> int:
        return len(self)

    def __len__(self) -> int:
        return self.n // self.global_batch

    def __iter__(self) -> Iterator[Draw]:
        rank, world = rank_and_world()
        size = self.global_batch
        epoch, done, first = Position(*self.position())
        order = self.order(self.seed, epoch)
        for batch in range(done, len(self)):
            start = first + batch * size
            yield Draw((self.seed, epoch, batch, rank), order[start : start + size][rank::world])


class EvaluationDraws:
    """Every example once, in order, in batches of at most batch_size, dealt out in turn.

    The batches are the same on any number of processes, and with them what is measured of a batch
    as a whole. Where the turns do not come out even, processes keep step by a batch of another's.
    """

    def __init__(self, n: int, batch_size: int) -> None:
        self.n, self.batches = n, -(-n // batch_size)

    @property
    def counted(self) -> int:
        rank, world = rank_and_world()
        return len(range(rank, self.batches, world))

    def __len__(self) -> int:
        return -(-self.batches // rank_and_world()[1])

    def __iter__(self) -> Iterator[Draw]:
        rank, world = rank_and_world()
        batches = torch.arange(self.n).tensor_split(self.batches)
        for turn in range(len(self)):
            yield Draw(None, batches[(turn * world + rank) % self.batches])


class Loader:
    """Batches of examples as pairs; the trainer's loader, and an ordinary iterable without one.

    It holds no state: the draws read their position from the trainer.
    """

    def __init__(
        self, batches: Batches, draws: SharedDraws, finish: Callable[[Batch], Pair]
    ) -> None:
        self.batches, self.draws, self.finish = batches, draws, finish

    def __len__(self) -> int:
        return len(self.draws)

    def __iter__(self) -> Iterator[Pair]:
        # Nothing runs before the first pair is wanted: a resumed trainer knows its place only then.
        counted = self.draws.counted
        for place, batch in enumerate(self.batches):
            pair = self.finish(batch)
            yield pair if place < counted else uncounted(pair)

    # The trainer asks for these two, to know that a loader can go on in the middle of an epoch.
    def state_dict(self) -> dict[str, int]:
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Do nothing: the position is the trainer's."""


def uncounted(pair: Pair) -> Pair:
    """The same pairs, as ones that count nowhere: their index is −1."""
    return pair._replace(places=torch.full_like(pair.places, -1))
