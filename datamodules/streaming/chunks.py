"""Chunks of examples, as litdata writes them, read at any row."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ae_lightning.core.errors import UsageError

from .litdata_names import of_litdata
from .remote import ChunkCache, reason

ATTEMPTS: Final = 5  # another process may drop a chunk after it is fetched and before it is opened


class Chunks:
    """A split's chunks, read at any row.

    Args:
        folder: the folder that holds them, and litdata's index of them.
        files: each one's size in bytes, by name, in order.
        chunk, shape: as in `Manifest`.
        cache: fetches them, if they are in remote storage.
    """

    def __init__(
        self,
        folder: Path,
        files: Mapping[str, int],
        chunk: int,
        shape: tuple[int, ...],
        cache: ChunkCache | None = None,
    ) -> None:
        self.folder, self.files, self.chunk, self.shape = folder, files, chunk, shape
        self.names, self.cache = list(files), cache
        self._opened: tuple[int, Any] = (0, None)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": (0, None)}

    def check(self) -> None:
        """Raise UsageError unless all are here and complete."""
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
        """Begin to fetch chunks that will be wanted, if they are in remote storage."""
        if self.cache is not None:
            self.cache.fetch_ahead(self.folder.name, (self.names[c] for c in chunks))

    def _item(self, row: int) -> Any:
        c, wrong = row // self.chunk, ""
        for _ in range(ATTEMPTS if self.cache else 1):
            try:
                item = self._dataset[of_litdata("ChunkedIndex")(row, c)]
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
            streaming = of_litdata("StreamingDataset")(str(self.folder), batch_decode=0)
            self._opened = (os.getpid(), streaming)
        return self._opened[1]
