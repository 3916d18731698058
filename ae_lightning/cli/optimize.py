"""Write a folder of images as chunks, to stream from."""

import shlex
from pathlib import Path
from typing import Literal

from ae_lightning.core.errors import UsageError
from ae_lightning.core.files import path_of
from ae_lightning.core.printing import counted, tell
from ae_lightning.datamodules import ImageFolder
from ae_lightning.datamodules.pairs import SPLITS
from ae_lightning.datamodules.streaming.writing import write_stream


def optimize(
    folder: Path,
    out: Path,
    *,
    resize: int | tuple[int, int] | None = None,
    fit: Literal["crop", "pad", "stretch"] = "crop",
    greyscale: bool = False,
    background: float = 1.0,
    frames: Literal["refuse", "first", "all"] = "refuse",
    unreadable: Literal["refuse", "skip"] = "refuse",
    val_size: int | float | None = None,
    split_seed: int = 0,
    chunk_mb: float = 32,
    num_workers: int = 2,
) -> None:
    """Write a folder of images as chunks, which --config stream trains on.

    Args:
        folder: the images, as --config folder takes them.
        out: where to write: a folder that does not exist, or is empty.
        resize: the side, in pixels, or (height, width); not resized by default.
        fit: how images of other proportions are brought to that size.
        greyscale: true for one channel; three by default.
        background: the grey value behind transparent images.
        frames: which frames of files of several to take.
        unreadable: whether to skip files that cannot be read.
        val_size: what validation and testing get if the folder has no splits: a share, or a number.
        split_seed: the seed of that split.
        chunk_mb: the size of a chunk, in megabytes.
        num_workers: how many processes read images.

    Raises:
        UsageError: if an option is wrong, an image cannot be read, or OUT cannot be written.
    """
    folder, out = path_of(folder, "folder"), path_of(out, "out")
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}: give optimize a folder of images.")
    data = ImageFolder(
        str(folder),
        resize=resize,
        fit=fit,
        greyscale=greyscale,
        background=background,
        frames=frames,
        bits=8,  # which is what a stream holds
        unreadable=unreadable,
        in_memory=False,
        num_workers=num_workers,
        val_size=val_size,
        split_seed=split_seed,
    )
    manifest = write_stream(data, out, chunk_mb)
    counts = [f"{manifest.counts[split]:,} {split}" for split in SPLITS]
    size = sum(file.stat().st_size for file in out.rglob("*.bin"))
    number = sum(-(-n // manifest.chunk) for n in manifest.counts.values())
    tell(
        f"{out}: {', '.join(counts)} examples of shape {manifest.shape}, {size / 1e6:.3g} MB in "
        f"{counted(number, 'chunk')}",
        "to train on it:",
        f"ae-lightning fit --config vae --config stream --data.path {shlex.quote(str(out))}",
    )
