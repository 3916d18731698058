"""Chunks of examples as litdata writes them, read at any example's place."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ae_lightning.core.errors import UsageError

from .remote import Cache, litdata, reason

ATTEMPTS: Final = 5  # since another process may drop a chunk between its fetching and its opening


class Chunks:
    """A split's chunks, read at any example's place.

    Args:
        folder: where they lie, and litdata's index of them.
        files: how many bytes each has, by its name, in order.
        chunk: how many examples each holds; the last may hold fewer.
        shape: an example's shape S.
        cache: what fetches them, where they lie far away.
    """

    def __init__(
        self,
        folder: Path,
        files: Mapping[str, int],
        chunk: int,
        shape: tuple[int, ...],
        cache: Cache | None = None,
    ) -> None:
        self.folder, self.files, self.chunk, self.shape = folder, files, chunk, shape
        self.names, self.cache = list(files), cache
        self._opened: tuple[int, Any] = (0, None)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": (0, None)}

    def check(self) -> None:
        """See whether all are here and whole.

        Raises:
            UsageError: where one is not.
        """
        for name, size in self.files.items():
            file = self.folder / name
            if not file.is_file() or file.stat().st_size != size:
                what = "damaged" if file.is_file() else "missing"
                raise UsageError(f"{file} is {what}: copy its folder again.")

    def read(self, rows: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Read examples x (B, *S) and their labels y (B,), chunk by chunk."""
        x = np.empty((len(rows), *self.shape), np.uint8)
        y = np.empty(len(rows), np.int64)
        if self.cache is not None:
            touched = sorted({row // self.chunk for row in rows})
            self.cache.demand(self.folder.name, (self.names[c] for c in touched))
        for b, row in sorted(enumerate(rows), key=lambda place: place[1]):
            item = self._item(row)
            x[b], y[b] = item["x"], item["y"]
        return x, y

    def expect(self, chunks: Sequence[int]) -> None:
        """Begin to fetch chunks that will be wanted, where they lie far away."""
        if self.cache is not None:
            self.cache.fetch_ahead(self.folder.name, (self.names[c] for c in chunks))

    def _item(self, row: int) -> Any:
        c, wrong = row // self.chunk, ""
        for _ in range(ATTEMPTS if self.cache else 1):
            try:
                item = self._dataset[self._index(row, c)]
                if item["x"].shape != self.shape:
                    raise ValueError(f"an example in it is of shape {item['x'].shape}")
                return item
            except (OSError, RuntimeError, ValueError, TypeError) as error:
                wrong = reason(error)
                if self.cache is not None:
                    self.cache.demand(self.folder.name, [self.names[c]])
        raise UsageError(f"{self.folder / self.names[c]} cannot be read: {wrong}.")

    @property
    def _dataset(self) -> Any:
        if self._opened[0] != os.getpid():  # a forked worker opens its own
            streaming = litdata().StreamingDataset(str(self.folder), batch_decode=0)
            self._opened = (os.getpid(), streaming)
        return self._opened[1]

    @staticmethod
    def _index(row: int, c: int) -> Any:
        # The chunk is given, since litdata would look for it from the first one on.
        from litdata.streaming.sampler import ChunkedIndex

        return ChunkedIndex(row, c)
