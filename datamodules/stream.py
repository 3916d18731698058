"""Data too large for memory or disk, streamed from chunks that `ae-lightning optimize` wrote."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from ae_lightning.core.addresses import is_remote
from ae_lightning.core.errors import UsageError, at_least
from ae_lightning.core.files import open_regular, path_of
from ae_lightning.core.fingerprints import Fingerprint

from .loading.datasets import BatchDraw, Examples
from .loading.order import Order
from .pairs import SPLITS, PairDataModule
from .streaming.chunks import Chunks
from .streaming.litdata_names import of_litdata
from .streaming.manifest import LARGEST_MANIFEST, MANIFEST, Manifest
from .streaming.remote import ChunkCache, Remote, bytes_of


class Streamed(Examples):
    """n examples, read from chunks as they are drawn; training draws from `window` at a time."""

    def __init__(self, chunks: Chunks, n: int, window: int, workers: int) -> None:
        self.chunks, self.n, self.window, self.workers = chunks, n, window, workers
        self._order: Order | None = None  # of the epoch being read

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        x, y = self.chunks.read(rows.tolist())
        return torch.from_numpy(x), torch.from_numpy(y)

    def __getitems__(self, draw: BatchDraw) -> tuple[Tensor, Tensor, BatchDraw]:
        batch = super().__getitems__(draw)
        if draw.key is not None and self.chunks.cache is not None:
            self._look_ahead(draw.key[0], draw.key[1], draw.rows)
        return batch

    def _look_ahead(self, seed: int, epoch: int, rows: Tensor) -> None:
        """Begin to fetch the next window, which may be the first of the next epoch."""
        if self._order is None or (self._order.seed, self._order.epoch) != (seed, epoch):
            self._order = self.order(seed, epoch)
        following = self._order.after(rows)
        if following is None:
            following = self.order(seed, epoch + 1).windows[0]
        self.chunks.expect(following.tolist())

    def order(self, seed: int, epoch: int) -> Order:
        return Order(self.n, seed, epoch, self.chunks.chunk, self.window)


@final
class Stream(PairDataModule):
    """Images streamed from a folder that `ae-lightning optimize` wrote, local or remote.

    The pairs equal those of `ImageFolder` on the same images. Training draws from `window`
    chunks at a time, and reads only those. Remote chunks are fetched one window ahead, and cached
    on this machine as long as there is room.

    Args:
        path: the folder, or its address in remote storage, such as s3://bucket/folder.
        window: how many chunks training draws from at a time; more of them mix examples better.
        num_workers: how many processes read; 0 for none besides the one that trains.
        max_cache_size: how much of a remote folder to cache, such as 50GB.
        cache_dir: where to cache it; in litdata's own default cache, if None.
        common: the arguments of `PairDataModule`: batch_size, corruption, seed, split_seed;
            val_size has no effect, since the folder is already split.

    Raises:
        UsageError: if an argument is out of range, or the folder is remote and litdata is not
            installed; on loading, if it is missing, damaged, or was not written by optimize.
    """

    photographs = True

    def __init__(
        self,
        path: str,
        window: int = 16,
        num_workers: int = 2,
        max_cache_size: str = "50GB",
        cache_dir: str | None = None,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        at_least("window", window, 1)
        at_least("num_workers", num_workers, 0)
        self.path = path if is_remote(str(path)) else str(path_of(path, "data.path"))
        self.window, self.num_workers = window, num_workers
        self.limit = bytes_of(max_cache_size)
        self.cache_dir = None if cache_dir is None else path_of(cache_dir, "data.cache_dir")
        if is_remote(self.path):
            of_litdata("get_downloader")

    @property
    def shape(self) -> tuple[int, ...]:
        return self.manifest.shape

    @cached_property
    def manifest(self) -> Manifest:
        """The contents of stream.json."""
        return Manifest.of(self._manifest_text(), f"{self.path}/{MANIFEST}")

    @property
    def fingerprint(self) -> Fingerprint:
        known = self.manifest
        return {
            "counts": dict(known.counts),
            "classes": list(known.classes),
            "digests": {"all": known.digest},
        }

    def label_of(self, y: int) -> str | int | None:
        return self.manifest.classes[y] or None if self.manifest.classes else y

    def read(self) -> Mapping[str, Examples]:
        return {split: self._streamed(split) for split in SPLITS}

    @cached_property
    def _remote(self) -> Remote | None:
        return Remote(self.path) if is_remote(self.path) else None

    @cached_property
    def _folder(self) -> Path:
        """The local folder, or where this version of a remote one is cached."""
        if self._remote is None:
            return Path(self.path)
        root = self.cache_dir or of_litdata("get_default_cache_dir")()
        return Path(root, f"ae-lightning-{self.manifest.digest}")

    def _manifest_text(self) -> bytes:
        if self._remote is not None:
            return self._remote.read(MANIFEST, LARGEST_MANIFEST)
        folder = Path(self.path)
        if not folder.is_dir():
            raise UsageError(
                f"there is no folder {folder}: give data.path, a folder that ae-lightning optimize "
                "wrote."
            )
        try:
            with open_regular(folder / MANIFEST, LARGEST_MANIFEST) as file:
                return file.read()
        except FileNotFoundError:
            raise UsageError(
                f"{folder} is not a streamed folder, since it has no {MANIFEST}: write one with "
                "ae-lightning optimize FOLDER OUT."
            ) from None
        except OSError as error:
            raise UsageError(f"{folder / MANIFEST} cannot be read: {error.strerror}.") from None

    def _streamed(self, split: str) -> Streamed:
        cache = None
        if self._remote is not None:
            cache = ChunkCache(self._remote, self._folder, self.limit)
        chunks = Chunks(self._folder / split, self.manifest, split, cache)
        if cache is None:
            chunks.check()
        else:
            self._demand_room(chunks)
        return Streamed(chunks, self.manifest.counts[split], self.window, self.num_workers)

    def _demand_room(self, chunks: Chunks) -> None:
        """Refuse a cache that cannot hold two windows, since both are in use at a window's end."""
        need = sum(map(chunks.bytes_in, range(min(2 * self.window, chunks.number))))
        if self.limit < need:
            raise UsageError(
                f"max_cache_size is {self.limit / 1e9:.3g} GB, and two windows of {self.window} "
                f"chunks need {need / 1e9:.3g} GB: raise it, or lower window."
            )
