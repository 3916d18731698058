"""Write images as chunks to stream from, completely or not at all."""

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
from ..loading.image_files import read_all
from ..loading.purposes import SPLIT
from ..pairs import SPLITS
from .litdata_names import of_litdata
from .manifest import MANIFEST, Manifest

MB: Final = 10**6
LARGEST: Final = 2000 * MB  # litdata counts a chunk's bytes in 32 bits
EXTRA: Final = 100  # bytes that an example takes at most, besides its pixels


def write_stream(data: ImageFolder, out: Path, chunk_mb: float) -> Manifest:
    """Write the splits of a folder of images as chunks, in OUT/train, OUT/val and OUT/test.

    Validation and test keep their order. Training examples are shuffled, by split_seed, so that
    each chunk is a sample of all classes.

    Args:
        data: the folder; images are stored as the bytes that it yields, and so give the same pairs.
        out: where to write: a folder that does not exist yet, or is empty.
        chunk_mb: how many megabytes a chunk may take.

    Raises:
        UsageError: if `out` cannot be written, or an image cannot be read.
    """
    of_litdata("Cache")
    if not 0 < chunk_mb * MB <= LARGEST:
        raise UsageError(f"chunk_mb is {chunk_mb}: expected above 0 and at most {LARGEST // MB}.")
    chunk = max(1, int(chunk_mb * MB) // (math.prod(data.shape) + EXTRA))
    # The folder's next reader would read the chunks too.
    if data.path.resolve() in (out.resolve(), *out.resolve().parents):
        raise UsageError(
            f"{out} lies in {data.path}, whose files must be images: name another folder."
        )
    data.setup()
    digest = hashlib.sha256()
    with beside(out) as partial:
        for split in SPLITS:
            write_split(data, split, partial / split, chunk, digest)
        counts = {split: len(data.sets[split]) for split in SPLITS}
        known = (data.shape, (0.0, 1.0), data.classes, counts, chunk, digest.hexdigest())
        manifest = Manifest(*known)
        (partial / MANIFEST).write_text(manifest.text)
    return manifest


def write_split(data: ImageFolder, split: str, folder: Path, chunk: int, digest: Any) -> None:
    """Write one split's chunks and litdata's index of them."""
    cache, place = of_litdata("Cache")(str(folder), chunk_size=chunk), 0
    examples, order = data.sets[split], order_of(data, split)
    for images, labels, _ in read_all(examples, order, f"Writing {split}", examples.workers):
        digest.update(images.numpy().tobytes() + labels.numpy().tobytes())
        for x, y in zip(images.numpy(), labels.tolist(), strict=True):
            cache[place] = {"x": x, "y": y}
            place += 1
    cache.done()
    cache.merge()


def order_of(data: ImageFolder, split: str) -> Tensor:
    """Return the order that a split is stored in."""
    n = len(data.sets[split])
    if split != "train" or not data.ready:  # which was split at random, and so is shuffled
        return torch.arange(n)
    return torch.randperm(n, generator=generator_of(data.split_seed, 0, 0, 0, SPLIT))


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """Write a folder next to its final place, flush it to the disk, then move it there.

    Raise UsageError if something is there already, or it cannot be written.
    """
    partial = out.with_name(f"{out.name}.partial")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} already exists: name a new folder, or an empty one.")
    try:
        partial.mkdir(parents=True)
    except FileExistsError:
        raise UsageError(
            f"{partial} was left by an interrupted optimize, or is being written by another: "
            "remove it if none is running."
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
