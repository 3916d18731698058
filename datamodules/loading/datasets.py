"""The examples of one split, as a data set that gives a whole batch at once."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from .order import Order


class BatchDraw(NamedTuple):
    """One batch, as a sampler draws it and a data set fetches it.

    Args:
        rows: which examples (B,).
        key: (seed, epoch, batch, rank), which determines a training batch's noise; None in
            evaluation.
        counts: False for a batch that another process counts, and that is drawn only to keep
            processes in step.
    """

    rows: Tensor
    key: tuple[int, int, int, int] | None = None
    counts: bool = True

    def to(self, device: torch.device) -> "BatchDraw":
        """Move the rows to a device."""
        rows = self.rows.to(device, non_blocking=device.type == "cuda")
        return self if rows is self.rows else self._replace(rows=rows)


class Examples(Dataset[tuple[Tensor, Tensor]], ABC):
    """The examples of one split, wherever they are stored, fetched by rows."""

    workers = 0  # how many processes read ahead; 0 for none besides the one that trains

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return x (B, *S), uint8 in 0 … 255 or floats, and labels y (B,), of rows (B,)."""

    def __getitems__(self, draw: BatchDraw) -> tuple[Tensor, Tensor, BatchDraw]:
        """Fetch what a sampler drew, as torch's DataLoader asks for a batch."""
        return *self[draw.rows], draw

    def select(self, rows: Tensor) -> "Examples":
        """Return those examples alone, in that order; in memory, unless a subclass knows better."""
        return InMemory(*self[rows])

    def near(self, device: torch.device) -> "Examples":
        """Return the same examples, moved to the device if that pays."""
        return self

    def order(self, seed: int, epoch: int) -> Order:
        """Return an epoch's training order, a function of (seed, epoch)."""
        return Order(len(self), seed, epoch)


class Named(NamedTuple):
    """Examples of one split, and what each is called: a file by its path below the folder.

    Args:
        split: the split, by which their evaluation noise is keyed.
        name: gives the name of the example at a place.
        label: gives the class of a label y, by name or number; None if there are no labels.
    """

    split: str
    examples: Examples
    name: Callable[[int], str]
    label: Callable[[int], str | int | None]


def fitting(size: int, device: torch.device) -> bool:
    """Whether so many bytes leave half of a GPU's free memory free; of others, nothing is known."""
    return device.type != "cuda" or size <= torch.cuda.mem_get_info(device)[0] // 2


class InMemory(Examples):
    """Examples held in memory: x (N, *S), uint8 or float, and labels y (N,)."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        # index_select copies whole rows, in a tenth of the time of indexing element by element.
        return self.x.index_select(0, rows), self.y.index_select(0, rows)

    def __getitems__(self, draw: BatchDraw) -> tuple[Tensor, Tensor, BatchDraw]:
        return super().__getitems__(draw.to(self.x.device))

    def order(self, seed: int, epoch: int) -> Order:
        return Order(len(self), seed, epoch, device=self.x.device)

    def near(self, device: torch.device) -> "InMemory":
        """Return the same examples on the device, unless they fill half a GPU's free memory."""
        if self.x.device != device and not fitting(self.x.nbytes, device):
            return self
        return InMemory(self.x.to(device), self.y.to(device))


class Whole(InMemory):
    """Examples that are held as a whole, such as those of a file, whatever is selected of them."""

    def select(self, rows: Tensor) -> "Selection":
        """Return those examples alone, in that order, without a copy of them."""
        return Selection(self, rows)


class Selection(Examples):
    """Some examples of a whole: their rows there (N,), of four bytes each where that does."""

    def __init__(self, whole: Whole, rows: Tensor) -> None:
        self.whole, self.rows = whole, rows.int() if len(whole) < 2**31 else rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return self.whole[self.rows.index_select(0, rows)]

    def select(self, rows: Tensor) -> "Selection":
        return Selection(self.whole, self.rows.index_select(0, rows))

    def near(self, device: torch.device) -> Examples:
        """Return a copy of them on another device, unless they fill half a GPU's free memory."""
        held = self.whole.x
        if held.device == device or not fitting(held[:1].nbytes * len(self), device):
            return self
        x, y = self.whole[self.rows]
        return InMemory(x.to(device), y.to(device))
