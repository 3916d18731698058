"""Data that outgrow memory and disks, streamed from chunks that `ae-lightning optimize` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ae_lightning.core.errors import UsageError

from .loading.batches import Arrays, Batch, Draw, Draws, Examples
from .loading.image_files import Worked
from .pairs import PairDataModule, at_least
from .streaming.chunks import Chunks
from .streaming.manifest import INDEX, MANIFEST, SPLITS, Manifest, chunks_of
from .streaming.remote import Cache, Remote, bytes_of, litdata
from .streaming.windows import Windows


class Streamed(Examples, Dataset[Batch]):
    """Examples that are read from chunks as they are drawn.

    Args:
        chunks: where they are read.
        n: how many there are.
        window: how many chunks are drawn from at a time, in training.
        workers: how many processes read.
    """

    def __init__(self, chunks: Chunks, n: int, window: int, workers: int) -> None:
        self.chunks, self.n, self.window, self.workers = chunks, n, window, workers
        self._at: Windows | None = None  # the order of the epoch that is being read

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, draw: Draw) -> Batch:
        x, y = self.chunks.read(draw.rows.tolist())
        if draw.key is not None and self.chunks.cache is not None:
            self._look_ahead(*draw.key[:2], draw.rows)
        return Batch(torch.from_numpy(x), torch.from_numpy(y), draw.rows, draw.key)

    def _look_ahead(self, seed: int, epoch: int, rows: Tensor) -> None:
        """Begin to fetch the next window, which may be the next epoch's first."""
        if self._at is None or (self._at.seed, self._at.epoch) != (seed, epoch):
            self._at = self.order(seed, epoch)
        following = self._at.after(rows)
        if following is None:
            following = self.order(seed, epoch + 1).windows[0]
        self.chunks.expect(following.tolist())

    def select(self, rows: Tensor) -> Arrays:
        batch = self[Draw(None, rows)]
        return Arrays(batch.x, batch.y)

    def order(self, seed: int, epoch: int) -> Windows:
        return Windows(self.n, self.chunks.chunk, self.window, seed, epoch)

    def batches(self, draws: Draws) -> Worked:
        return Worked(self, draws, self.workers)


@final
class Stream(PairDataModule):
    """Images streamed from a folder that `ae-lightning optimize` wrote, here or far away.

    The pairs are those of `ImageFolder` from the same images. Training draws from `window` chunks
    at a time, so that this many are read again and again, and no others. Chunks far away are
    fetched a window ahead, and kept on this machine while there is room.

    Args:
        path: the folder, or its address in a storage, such as s3://bucket/folder.
        window: how many chunks are drawn from at a time; more of them mix examples better.
        num_workers: how many processes read; 0 for none beside the one that trains.
        max_cache_size: how much of a folder far away is kept here, such as 50GB.
        cache_dir: where it is kept; where litdata keeps its own, if None.
        common: the arguments of `PairDataModule`: batch_size, corruption, seed, split_seed;
            val_size is of no effect, since the folder is split already.

    Raises:
        UsageError: where an argument is out of range, litdata is not installed, or, on loading,
            the folder is missing, damaged or was not written so.
    """

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
        self.path, self.window, self.num_workers = str(path), window, num_workers
        self.limit = bytes_of(max_cache_size)
        self.cache_dir = None if cache_dir is None else Path(cache_dir).expanduser()
        litdata()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.manifest.shape

    @property
    def value_range(self) -> tuple[float, float]:
        return self.manifest.value_range

    @cached_property
    def manifest(self) -> Manifest:
        """What stream.json says."""
        return Manifest.of(self._text(MANIFEST), f"{self.path}/{MANIFEST}")

    def read(self) -> Mapping[str, Examples]:
        return {split: self._streamed(split) for split in SPLITS}

    # ----------------------------------------------------------------------- files

    @cached_property
    def _remote(self) -> Remote | None:
        far = "://" in self.path or self.path.startswith("local:")
        return Remote(self.path) if far else None

    @cached_property
    def _folder(self) -> Path:
        """The folder, or where it is kept, apart from all that was ever written otherwise."""
        if self._remote is None:
            return Path(self.path).expanduser()
        root = self.cache_dir or litdata().utilities.dataset_utilities.get_default_cache_dir()
        return Path(root, f"ae-lightning-{self.manifest.digest[:16]}")

    def _text(self, name: str) -> str:
        if self._remote is not None:
            return self._remote.text(name)
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            raise UsageError(
                f"there is no folder {folder}: give data.path, a folder that ae-lightning optimize "
                "wrote."
            )
        try:
            return (folder / name).read_text()
        except FileNotFoundError:
            hint = "write one by ae-lightning optimize FOLDER OUT"
            raise UsageError(
                f"{folder} is no streamed folder, for it holds no {name}: "
                f"{hint if name == MANIFEST else 'copy it again'}."
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{folder / name} cannot be read: {error}.") from None

    def _streamed(self, split: str) -> Streamed:
        index, known = f"{split}/{INDEX}", self.manifest
        files = chunks_of(self._text(index), f"{self.path}/{index}", known, split)
        cache, folder = None, self._folder / split
        if self._remote is not None:
            self._demand_room(files)
            cache = Cache(self._remote, self._folder, self.limit)
            self._remote.demand({index: folder / INDEX})
        chunks = Chunks(folder, files, known.chunk, known.shape, cache)
        if cache is None:
            chunks.check()
        return Streamed(chunks, known.counts[split], self.window, self.num_workers)

    def _demand_room(self, files: Mapping[str, int]) -> None:
        """Refuse a cache that would drop chunks in use: at a window's end, two are drawn from."""
        need = min(2 * self.window * max(files.values()), sum(files.values()))
        if self.limit < need:
            raise UsageError(
                f"max_cache_size is {self.limit / 1e9:.3g} GB, and two windows of {self.window} "
                f"chunks need {need / 1e9:.3g} GB: raise it, or lower window."
            )
