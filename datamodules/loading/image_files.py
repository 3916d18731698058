"""Image files as examples: read in batches by workers, or all at once into memory."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import torch
from numpy.typing import NDArray
from torch import Tensor

from ae_lightning.core.distributed import rank_and_world
from ae_lightning.core.errors import UsageError
from ae_lightning.core.memory import memory
from ae_lightning.core.printing import tracked

from .batch_loader import BatchLoader
from .datasets import BatchDraw, Examples, InMemory
from .decoding import Unreadable, shown
from .listing import Source
from .rendering import Rendering, as_floats

SLOW: Final = 2000  # images; reading this many or more shows progress, and takes workers
READ_AT_ONCE: Final = 32  # few, since workers hand images over in shared memory, which is scarce


class ImageFiles(Examples):
    """Examples read from image files as they are drawn.

    Args:
        sources: the files.
        y: their labels (N,).
        like: an example, whose shape and type all must have.
        render: reads one.
        workers: how many processes read.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        y: Tensor,
        like: Tensor,
        render: Rendering,
        workers: int = 0,
    ) -> None:
        self.sources, self.y, self.like = sources, y, like
        self.render, self.workers = render, workers

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        x = self.like.new_empty(len(rows), *self.like.shape)
        values = x.numpy()
        for b, row in enumerate(rows.tolist()):
            values[b] = self.image(row)
        return x, self.y[rows]

    @cached_property
    def _like(self) -> NDArray[Any]:
        found: NDArray[Any] = self.like.numpy()
        return found

    def image(self, row: int) -> NDArray[Any]:
        """Read one image."""
        source, like = self.sources[row], self._like
        x, path = self.render.read(source.path, source.frame), shown(source.path)
        if x.dtype.kind == "f" and like.dtype.kind != "f":
            raise UsageError(
                f"{path} has more than 8 bits a value, and the first image 8: set data.bits to 32 "
                "to keep them all, or to 8 to round them."
            )
        if len(x) != len(like):
            raise UsageError(f"{path} has {len(x)} channels, and the first image {len(like)}.")
        if x.shape != like.shape:
            (_, h, w), (_, height, width) = x.shape, like.shape
            raise UsageError(
                f"{path} is {w} × {h} pixels, and the first image {width} × {height}: give "
                "resize, the side in pixels to bring them all to."
            )
        return x if like.dtype == x.dtype else as_floats(x)

    def select(self, rows: Tensor) -> "ImageFiles":
        sources = [self.sources[row] for row in rows.tolist()]
        return ImageFiles(sources, self.y[rows], self.like, self.render, self.workers)

    def load(self, skip: bool) -> tuple[InMemory, list[str]]:
        """Read all images into memory; return them, and why some are left out if that is wanted."""
        x, wrong = self.like.new_empty(len(self), *self.like.shape), dict[int, str]()
        for images, unreadable, draw in self._attempts(skip):
            x[draw.rows] = images
            wrong |= unreadable
        kept = [row for row in range(len(self)) if row not in wrong]
        for place, row in enumerate(kept if wrong else ()):  # a selection would need memory twice
            x[place] = x[row]
        return InMemory(x[: len(kept)], self.y[kept]), [*wrong.values()]

    def readable(self) -> tuple["ImageFiles", list[str]]:
        """Read all images; return those that can be read, and why the others cannot."""
        wrong = {row: why for _, some, _ in self._attempts(True) for row, why in some.items()}
        kept = [row for row in range(len(self)) if row not in wrong]
        return self.select(torch.tensor(kept, dtype=torch.long)), [*wrong.values()]

    def _attempts(self, skip: bool) -> Iterator[tuple[Tensor, dict[int, str], BatchDraw]]:
        few = len(self) < SLOW
        quiet, workers = few or rank_and_world()[0] > 0, 0 if few else self.workers
        order = torch.arange(len(self))
        yield from read_all(Attempts(self, skip), order, "Reading images", workers, quiet)


class Attempts(Examples):
    """Images, each batch with what is wrong with some in the place of its labels."""

    def __init__(self, files: ImageFiles, skip: bool) -> None:
        self.files, self.skip = files, skip

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, rows: Tensor) -> tuple[Tensor, Any]:
        like, wrong = self.files.like, dict[int, str]()
        x = like.new_empty(len(rows), *like.shape)
        values = x.numpy()
        for b, row in enumerate(rows.tolist()):
            try:
                values[b] = self.files.image(row)
            except Unreadable as error:
                if not self.skip:
                    raise
                wrong[row] = error.wrong
        return x, wrong


def read_all(
    examples: Examples, order: Tensor, title: str, workers: int, quiet: bool = False
) -> Iterator[tuple[Tensor, Any, BatchDraw]]:
    """Fetch examples in the given order, a few at a time, with progress shown in a terminal."""
    draws = [BatchDraw(rows) for rows in order.split(READ_AT_ONCE)]
    loader = BatchLoader(examples, draws, lambda x, y, draw: (x, y, draw), workers)
    try:
        yield from tracked(loader, None if quiet else title, len(loader))
    finally:
        loader.release()


def demand_memory(n: int, ahead: int, shape: Sequence[int], each: int, hint: str) -> None:
    """Refuse to hold n images of `each` bytes, and more in batches ahead, if memory is too small.

    Raises:
        UsageError: with how much they need.
    """
    need, here = (n + ahead) * each, memory()
    if need > here:
        raise UsageError(
            f"{n:,} images of shape {tuple(shape)} need {need / 2**30:,.3g} GiB, more than the "
            f"{here / 2**30:.3g} GiB that this machine has: {hint}."
        )
