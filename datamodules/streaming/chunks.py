"""Chunks of examples, read at any row, and only if they are what stream.json says."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from ae_lightning.core.errors import UsageError
from ae_lightning.core.files import open_regular

from .manifest import MANIFEST, Manifest, chunk_name, example_type
from .remote import ChunkCache, reason

ATTEMPTS: Final = 5  # another process may drop a chunk after it is fetched and before it is opened


class Chunks:
    """A split's chunks, read at any row.

    Each is verified when this process first opens it, and again if its file has changed since.
    It is read, not mapped: if it shrinks meanwhile, that is an error instead of a crash.

    Args:
        folder: the folder that holds them.
        manifest: what they hold.
        split: train, val or test.
        cache: fetches them, if they are in remote storage.
    """

    def __init__(
        self, folder: Path, manifest: Manifest, split: str, cache: ChunkCache | None = None
    ) -> None:
        self.folder, self.manifest, self.split, self.cache = folder, manifest, split, cache
        self.chunk, self.type = manifest.chunk, example_type(manifest.shape)
        self._verified: dict[int, tuple[int, ...]] = {}  # the state of each chunk's file, then

    @property
    def number(self) -> int:
        return len(self.manifest.digests[self.split])

    def bytes_in(self, c: int) -> int:
        return self.type.itemsize * self.manifest.examples_in(self.split, c)

    def check(self) -> None:
        """Raise UsageError unless all are here and complete."""
        for c in range(self.number):
            file = self.folder / chunk_name(c)
            try:
                status = file.stat()
            except FileNotFoundError:
                raise UsageError(f"{file} is missing: copy its folder again.") from None
            except OSError as error:
                raise UsageError(f"{file} cannot be read: {reason(error)}.") from None
            if not S_ISREG(status.st_mode) or status.st_size != self.bytes_in(c):
                raise UsageError(f"{file} is damaged: copy its folder again.")

    def read(self, rows: Sequence[int]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Read examples x (B, *S) and their labels y (B,), chunk by chunk.

        Raises:
            UsageError: if a chunk cannot be had, or is not what stream.json says.
        """
        stored = np.empty(len(rows), self.type)
        into = stored.view(np.uint8).reshape(len(rows), self.type.itemsize)
        ordered = sorted(range(len(rows)), key=rows.__getitem__)
        touched = {c: list(b) for c, b in groupby(ordered, lambda b: rows[b] // self.chunk)}
        if self.cache is not None:
            self.cache.demand(self.split, map(chunk_name, touched))
        for c, places in touched.items():
            self._read(c, [(rows[b] - c * self.chunk, into[b]) for b in places])
        x, y = np.ascontiguousarray(stored["x"]), stored["y"].astype(np.int64)
        number = len(self.manifest.classes)
        for b in np.flatnonzero((y < 0) | (y >= number))[:1]:
            where = self._address(rows[b] // self.chunk)
            known = f"expected one of the {number} classes of {MANIFEST}"
            raise UsageError(f"{where} holds the label {y[b]}: {known}.")
        return x, y

    def expect(self, chunks: Sequence[int]) -> None:
        """Begin to fetch chunks that will be wanted, if they are in remote storage."""
        if self.cache is not None:
            self.cache.fetch_ahead(self.split, map(chunk_name, chunks))

    def _read(self, c: int, wanted: Iterable[tuple[int, NDArray[np.uint8]]]) -> None:
        """Read examples of one chunk, fetched anew if what is cached is damaged."""
        file, wrong = self.folder / (name := chunk_name(c)), ""
        for _ in range(ATTEMPTS if self.cache else 1):
            try:
                with open_regular(file) as opened:
                    self._verify(c, opened)
                    for place, into in wanted:
                        opened.seek(place * self.type.itemsize)
                        if opened.readinto(into) != len(into):  # type: ignore[attr-defined]
                            raise OSError("it has shrunk")
                return
            except (OSError, UsageError) as error:
                wrong = reason(error)
                if self.cache is not None:
                    self.cache.refetch(self.split, name)
        raise UsageError(f"{self._address(c)} cannot be read: {wrong}.")

    def _address(self, c: int) -> str:
        """Where a chunk comes from, for a sentence."""
        root = self.cache.remote.url if self.cache else str(self.folder.parent)
        return f"{root}/{self.split}/{chunk_name(c)}"

    def _verify(self, c: int, file: BinaryIO) -> None:
        status = os.fstat(file.fileno())
        state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if self._verified.get(c) == state:
            return
        whole = status.st_size == self.bytes_in(c)
        sum_ = hashlib.file_digest(file, "sha256").hexdigest() if whole else ""  # type: ignore[arg-type]
        if sum_ != self.manifest.digests[self.split][c]:
            raise OSError(f"its content is not what {MANIFEST} says, so copy its folder again")
        self._verified[c] = state
