"""Write images as chunks to stream from, completely or not at all."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.files import sync_folder
from ae_lightning.core.randomness import generator_of

from ..folder import ImageFolder
from ..loading.image_files import read_all
from ..loading.purposes import SPLIT
from ..pairs import SPLITS
from .manifest import LARGEST_CHUNK, MANIFEST, MOST_CHUNKS, Manifest, chunk_name, example_type

MB: Final = 10**6


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
    if not 0 < chunk_mb * MB <= LARGEST_CHUNK:
        most = LARGEST_CHUNK // MB
        raise UsageError(f"chunk_mb is {chunk_mb}: expected above 0 and at most {most}.")
    # The folder's next reader would read the chunks too.
    if data.path.resolve() in (out.resolve(), *out.resolve().parents):
        raise UsageError(
            f"{out} lies in {data.path}, whose files must be images: name another folder."
        )
    data.setup()
    chunk = max(1, int(chunk_mb * MB) // example_type(data.shape).itemsize)
    counts = {split: len(data.sets[split]) for split in SPLITS}
    if (number := sum(-(-n // chunk) for n in counts.values())) > MOST_CHUNKS:
        raise UsageError(f"chunk_mb is {chunk_mb}, which makes {number:,} chunks: raise it.")
    none = {split: ("0" * 64,) * -(-n // chunk) for split, n in counts.items()}
    planned = Manifest(data.shape, data.classes, counts, chunk, none)
    if wrong := planned.fault():
        raise UsageError(f"{data.path} cannot be written as chunks: {wrong}.")
    with beside(out) as partial:
        digests = {s: tuple(write_split(data, s, partial / s, chunk)) for s in SPLITS}
        manifest = replace(planned, digests=digests)
        (partial / MANIFEST).write_text(manifest.text)
    return manifest


def write_split(data: ImageFolder, split: str, folder: Path, chunk: int) -> list[str]:
    """Write one split's chunks, and return the digest of each."""
    folder.mkdir()
    digests, place, order = [], 0, order_of(data, split)
    examples = data.sets[split]
    for images, labels, _ in read_all(examples, order, f"Writing {split}", examples.workers):
        rest = np.empty(len(labels), example_type(data.shape))
        rest["x"], rest["y"] = images.numpy(), labels.numpy()
        while len(rest):
            c, filled = divmod(place, chunk)
            part, rest = np.split(rest, [chunk - filled])
            if filled == 0:
                digests.append(hashlib.sha256())
            digests[c].update(part.tobytes())
            with open(folder / chunk_name(c), "ab") as file:
                file.write(part.tobytes())
            place += len(part)
    return [digest.hexdigest() for digest in digests]


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
