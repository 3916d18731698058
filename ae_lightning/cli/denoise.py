"""One's own noisy images without the noise, each under its own name."""

from pathlib import Path

from ae_lightning.cli.reconstruct import reconstruct
from ae_lightning.inference.reading import Reading


def denoise(
    model: Path,
    *data: str,
    out: Path,
    steps: int = 1,
    error: bool = False,
    split: str | None = None,
    limit: int | None = None,
    batch_size: int = 256,
    device: str = "auto",
    corrupt: bool = False,
    force: bool = False,
    reading: Reading | None = None,
) -> None:
    """Write every noisy image without its noise, under its own name and in its own format.

    Args:
        model: a run, for its best checkpoint, or a checkpoint.
        data: a folder, image files, an array file or a shipped data set such as mnist; that of
            training, if none is given.
        out: the folder to write to; or, for an array of all of them, a .npy file.
        steps: how often to do so, each time to what came out.
        error: write NAME.error.png beside each, the map of |r(x) − x|.
        split: train, val or test; by default, all.
        limit: how many examples to take at most.
        batch_size: how many to denoise at a time.
        device: auto, cpu, cuda, cuda:1, ….
        corrupt: add noise to the inputs first, as in training.
        force: replace the file OUT, or those of the same names in the folder OUT, if it exists.
        reading: how image files are read, where that is not to be as in training.

    Raises:
        UsageError: if there is no such model or no such data, or they do not fit.
    """
    reconstruct(
        model,
        *data,
        out=out,
        steps=steps,
        error=error,
        split=split,
        limit=limit,
        batch_size=batch_size,
        device=device,
        corrupt=corrupt,
        force=force,
        reading=reading,
    )
