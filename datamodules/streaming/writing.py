"""Images written as chunks to stream from, whole or not at all."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.files import sync_folder
from ae_lightning.core.randomness import generator_of

from ..folder import ImageFolder
from ..loading.batches import Draw
from ..loading.image_files import READ_AT_ONCE
from ..pairs import SPLIT
from .manifest import MANIFEST, SPLITS, Manifest
from .remote import litdata

MB: Final = 10**6
MOST: Final = 2000 * MB  # litdata counts a chunk's bytes in 32 bits
EXTRA: Final = 100  # at most so many bytes does an example take beside its pixels


def write(data: ImageFolder, out: Path, chunk_mb: float) -> Manifest:
    """Write the splits of a folder of images as chunks, in OUT/train, OUT/val and OUT/test.

    Validation and test keep their order. Training examples that the folder holds by class are
    mixed, by split_seed, so that each chunk is a sample of all.

    Args:
        data: the folder; images are stored as it gives them, as bytes, and so of the same pairs.
        out: where to write: no folder yet, or an empty one.
        chunk_mb: how many megabytes a chunk may take.

    Raises:
        UsageError: where `out` cannot be written, or an image not be read.
    """
    litdata()
    if not 0 < chunk_mb * MB <= MOST:
        raise UsageError(f"chunk_mb is {chunk_mb}: expected above 0 and at most {MOST // MB}.")
    chunk = max(1, int(chunk_mb * MB) // (math.prod(data.shape) + EXTRA))
    refuse_inside(out, data.path)
    data.setup()
    digest = hashlib.sha256()
    with beside(out) as partial:
        for split in SPLITS:
            write_split(data, split, partial / split, chunk, digest)
        counts = {split: len(data.sets[split]) for split in SPLITS}
        value_range = data.value_range
        assert value_range is not None
        known = (data.shape, value_range, data.classes, counts, chunk, digest.hexdigest())
        manifest = Manifest(*known)
        (partial / MANIFEST).write_text(manifest.text)
    return manifest


def write_split(data: ImageFolder, split: str, folder: Path, chunk: int, digest: Any) -> None:
    """Write one split's chunks and litdata's index of them."""
    from litdata.streaming import Cache
    from rich import get_console
    from rich.progress import track

    examples, order = data.sets[split], order_of(data, split)
    draws = [Draw(None, rows) for rows in order.split(READ_AT_ONCE)]
    batches = examples.batches(draws)
    cache = Cache(str(folder), chunk_size=chunk)
    place = 0
    try:
        quiet, title = not get_console().is_terminal, f"Writing {split}"
        for batch in track(batches, title, len(draws), transient=True, disable=quiet):
            digest.update(batch.x.numpy().tobytes() + batch.y.numpy().tobytes())
            for x, y in zip(batch.x.numpy(), batch.y.tolist(), strict=True):
                cache[place] = {"x": x, "y": y}
                place += 1
    finally:
        batches.release()
    cache.done()
    cache.merge()


def order_of(data: ImageFolder, split: str) -> Tensor:
    """The order that a split is stored in."""
    n = len(data.sets[split])
    if split != "train" or not data.ready:  # which was split at random, and so is mixed
        return torch.arange(n)
    return torch.randperm(n, generator=generator_of(data.split_seed, 0, 0, 0, SPLIT))


def refuse_inside(out: Path, folder: Path) -> None:
    """Refuse to write where the next reader would look for images."""
    if folder.resolve() in (out.resolve(), *out.resolve().parents):
        raise UsageError(f"{out} lies in {folder}, whose files must be images: name another.")


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """Write a folder beside its place, to the disk, and only then put it there.

    Raises:
        UsageError: where there is something, or it cannot be written.
    """
    partial = out.with_name(f"{out.name}.partial")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already: name a folder that is not, or is empty.")
    try:
        partial.mkdir(parents=True)
    except FileExistsError:
        raise UsageError(
            f"{partial} is what an interrupted optimize left, or what another writes: remove it "
            "if none does."
        ) from None
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}.") from None
    try:
        yield partial
        for folder, _, names in os.walk(partial):
            for name in names:
                with open(Path(folder, name), "rb+") as file:
                    os.fsync(file.fileno())
            sync_folder(Path(folder))
        if out.exists():
            out.rmdir()
        os.replace(partial, out)
        sync_folder(out.parent)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
