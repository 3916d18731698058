"""Image files: listed, read to bytes, and fetched in batches by workers."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from ae_lightning.core.distributed import rank_and_world
from ae_lightning.core.errors import UsageError

from .batches import Arrays, Batch, Draw, Draws, Examples, Fetched

SLOW: Final = 2000  # images, from which on reading them shows its progress
READ_AT_ONCE: Final = 32  # few, since what workers hand over lies in scarce shared memory
DEEP: Final = ("I", "F")  # modes of more than 8 bits, which PIL would clip without a word


def files_in(folder: Path) -> list[Path]:
    """Return all files below a folder but hidden ones, sorted."""
    found = []
    for path, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(path, name) for name in files if not name.startswith(".")]
    return sorted(found)


def read_image(path: Path, resize: int | None = None, greyscale: bool = False) -> Tensor:
    """Read an image as bytes (C, H, W), upright, of one channel or of three.

    Args:
        path: the file.
        resize: the side of the square that it is scaled to and cropped to at its centre.
        greyscale: whether to make one channel of the colours.

    Raises:
        UsageError: where the file is not a whole image of 8 bits per channel.
    """
    from PIL import Image, ImageOps

    mode = "L" if greyscale else "RGB"
    try:
        with Image.open(path) as image:
            if resize is not None:
                image.draft(mode, (resize, resize))  # JPEGs are then decoded at a lower scale
            if image.mode.split(";")[0] in DEEP:
                raise UsageError(f"{path} has more than 8 bits per pixel: convert it to 8 bits.")
            upright = ImageOps.exif_transpose(image).convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path} cannot be read as an image: remove or replace it.") from error
    if resize is not None:
        upright = ImageOps.fit(upright, (resize, resize), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(upright))
    return pixels[None] if greyscale else pixels.permute(2, 0, 1)


def memory() -> float:
    """This machine's memory, in bytes, where it can be asked for; else infinity."""
    if not hasattr(os, "sysconf"):
        return math.inf
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


class Files(Examples, Dataset[Batch]):
    """Examples that are read from image files as they are drawn.

    Args:
        paths: the files.
        y: their labels (N,).
        shape: what shape each must have.
        resize, greyscale: as of `read_image`.
        workers: how many processes read.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        y: Tensor,
        shape: tuple[int, ...],
        resize: int | None = None,
        greyscale: bool = False,
        workers: int = 0,
    ) -> None:
        self.paths, self.y, self.shape = paths, y, shape
        self.resize, self.greyscale, self.workers = resize, greyscale, workers

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, draw: Draw) -> Batch:
        x = torch.empty(len(draw.rows), *self.shape, dtype=torch.uint8)
        for b, row in enumerate(draw.rows.tolist()):
            x[b] = self._read(self.paths[row])
        return Batch(x, self.y[draw.rows], draw.rows, draw.key)

    def _read(self, path: Path) -> Tensor:
        image = read_image(path, self.resize, self.greyscale)
        if image.shape != self.shape:
            (_, h, w), (_, height, width) = image.shape, self.shape
            raise UsageError(
                f"{path} is {w} × {h} pixels, and the first image {width} × {height}: give "
                "resize, the side in pixels to bring them all to."
            )
        return image

    def select(self, rows: Tensor) -> Files:
        paths = [self.paths[row] for row in rows.tolist()]
        rest = (self.shape, self.resize, self.greyscale, self.workers)
        return Files(paths, self.y[rows], *rest)

    def load(self) -> Arrays:
        """Read all images into memory.

        Raises:
            UsageError: where they need more memory than the machine has.
        """
        from rich import get_console
        from rich.progress import track

        n = len(self)
        size = n * math.prod(self.shape)
        if size > memory():
            raise UsageError(
                f"{n} images of shape {self.shape} need {size / 2**30:.0f} GiB, more than this "
                "machine has: set in_memory to false."
            )
        few = n < SLOW
        starts = range(0, n, READ_AT_ONCE)
        draws = [Draw(None, torch.arange(a, min(a + READ_AT_ONCE, n))) for a in starts]
        batches = Fetched(self, draws) if few else self.batches(draws)
        quiet = few or rank_and_world()[0] > 0 or not get_console().is_terminal
        x = torch.empty(n, *self.shape, dtype=torch.uint8)
        for batch in track(batches, "Reading images", len(draws), transient=True, disable=quiet):
            x[batch.places] = batch.x
        batches.release()
        return Arrays(x, self.y)

    def batches(self, draws: Draws) -> Worked:
        return Worked(self, draws, self.workers)


class Worked:
    """Batches that worker processes read ahead; the workers live until `release`."""

    def __init__(self, examples: Dataset[Batch], draws: Draws, workers: int) -> None:
        self.examples, self.draws, self.workers = examples, draws, workers
        self.loader: DataLoader[Batch] | None = None

    def __iter__(self) -> Iterator[Batch]:
        if self.loader is None:
            # Each item of `draws` is a whole batch, so the loader is told not to batch. It is
            # hidden from the trainer, which would exchange its sampler for one that shuffles.
            self.loader = DataLoader(
                self.examples,
                batch_size=None,
                sampler=self.draws,
                num_workers=self.workers,
                persistent_workers=self.workers > 0,
                pin_memory=torch.cuda.is_available(),
                generator=Generator(),
            )
        try:
            yield from self.loader
        except UsageError as error:
            self.release()
            # A worker's error arrives with its traceback in front of its one sentence.
            raise UsageError(str(error).strip().rpartition("UsageError: ")[2]) from error

    def release(self) -> None:
        """End the workers. Garbage collection may close their queues before it tells them."""
        end = getattr(getattr(self.loader, "_iterator", None), "_shutdown_workers", None)
        if end is not None:
            end()
        self.loader = None
