"""Image files: listed, decoded to bytes, and read in batches by workers."""

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ae_lightning.core.distributed import rank_and_world
from ae_lightning.core.errors import UsageError

from .batch_loader import BatchLoader
from .datasets import BatchDraw, Examples, InMemory

SLOW: Final = 2000  # images; reading this many or more shows progress, and takes workers
READ_AT_ONCE: Final = 32  # few, since workers hand images over in shared memory, which is scarce
DEEP: Final = ("I", "F")  # modes of more than 8 bits, which PIL would silently clip


def files_in(folder: Path) -> list[Path]:
    """Return all files below a folder except hidden ones, sorted."""
    found = []
    for path, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(path, name) for name in files if not name.startswith(".")]
    return sorted(found)


def read_image(path: Path, resize: int | None = None, greyscale: bool = False) -> Tensor:
    """Read an image as bytes (C, H, W), upright, with one channel or three.

    Args:
        resize: the side of the square to scale to and crop from the centre; its own size, if None.
        greyscale: whether to turn the colours into one channel.

    Raises:
        UsageError: if the file is not a whole image of 8 bits per channel.
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
    """This machine's memory in bytes, or infinity if the system does not tell."""
    if not hasattr(os, "sysconf"):
        return math.inf
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


class ImageFiles(Examples):
    """Examples read from image files as they are drawn, each of which must have this shape."""

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

    def __getitem__(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.empty(len(rows), *self.shape, dtype=torch.uint8)
        for b, row in enumerate(rows.tolist()):
            x[b] = self._read(self.paths[row])
        return x, self.y[rows]

    def _read(self, path: Path) -> Tensor:
        image = read_image(path, self.resize, self.greyscale)
        if image.shape != self.shape:
            (_, h, w), (_, height, width) = image.shape, self.shape
            raise UsageError(
                f"{path} is {w} × {h} pixels, and the first image {width} × {height}: give "
                "resize, the side in pixels to bring them all to."
            )
        return image

    def select(self, rows: Tensor) -> Examples:
        paths = [self.paths[row] for row in rows.tolist()]
        rest = (self.shape, self.resize, self.greyscale, self.workers)
        return ImageFiles(paths, self.y[rows], *rest)

    def load(self) -> InMemory:
        """Read all images into memory, or raise UsageError if they need more than there is."""
        n, few = len(self), len(self) < SLOW
        size = n * math.prod(self.shape)
        if size > memory():
            raise UsageError(
                f"{n} images of shape {self.shape} need {size / 2**30:.0f} GiB, more than this "
                "machine has: set in_memory to false."
            )
        x = torch.empty(n, *self.shape, dtype=torch.uint8)
        quiet, workers = few or rank_and_world()[0] > 0, 0 if few else self.workers
        for images, _, draw in read_all(self, torch.arange(n), "Reading images", workers, quiet):
            x[draw.rows] = images
        return InMemory(x, self.y)


def read_all(
    examples: Examples, order: Tensor, title: str, workers: int, quiet: bool = False
) -> Iterator[tuple[Tensor, Tensor, BatchDraw]]:
    """Fetch examples in the given order, a few at a time, with progress shown in a terminal."""
    from rich import get_console
    from rich.progress import track

    draws = [BatchDraw(rows) for rows in order.split(READ_AT_ONCE)]
    loader = BatchLoader(examples, draws, lambda x, y, draw: (x, y, draw), workers)
    quiet = quiet or not get_console().is_terminal
    try:
        yield from track(loader, title, len(loader), transient=True, disable=quiet)
    finally:
        loader.release()
