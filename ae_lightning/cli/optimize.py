"""Write a folder of images as chunks, to stream from."""

import shlex
from pathlib import Path

from ae_lightning.core.errors import UsageError
from ae_lightning.core.files import path_of
from ae_lightning.core.printing import tell
from ae_lightning.datamodules import ImageFolder
from ae_lightning.datamodules.pairs import SPLITS
from ae_lightning.datamodules.streaming.writing import write_stream


def optimize(
    folder: Path,
    out: Path,
    *,
    resize: int | None = None,
    greyscale: bool = False,
    val_size: int | None = None,
    split_seed: int = 0,
    chunk_mb: float = 32,
    num_workers: int = 2,
) -> None:
    """Write a folder of images as chunks, which --config stream trains on.

    Args:
        folder: the images, as --config folder takes them.
        out: where to write: a folder that does not exist, or is empty.
        resize: the side, in pixels, that images are scaled and cropped to; not resized by default.
        greyscale: true for one channel; three by default.
        val_size: how many examples validation and testing get if the folder has no splits.
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
        greyscale=greyscale,
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
        f"{number} chunks",
        "to train on it:",
        f"ae-lightning fit --config vae --config stream --data.path {shlex.quote(str(out))}",
    )
