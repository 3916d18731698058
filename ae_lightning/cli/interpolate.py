"""What lies between two of one's own files, as a strip and as a film."""

from pathlib import Path

from ae_lightning.cli.walk_files import walk_path, write_walk
from ae_lightning.inference.reading import Reading
from ae_lightning.inference.walks import interpolate as walk


def interpolate(
    model: Path,
    a: str,
    b: str,
    *,
    out: Path,
    steps: int = 9,
    device: str = "auto",
    force: bool = False,
    reading: Reading | None = None,
) -> None:
    """Draw what the codes between those of two examples decode to.

    Args:
        model: a run, for its best checkpoint, or a checkpoint.
        a: the first example: a file, or SPLIT/PLACE of the data of training, such as test/0.
        b: the last example, likewise.
        out: a .png file for a strip, a .gif file for a film, or a folder for both.
        steps: how many codes to draw, including both ends.
        device: auto, cpu, cuda, cuda:1, ….
        force: replace what OUT names, if it exists.
        reading: how image files are read, where that is not to be as in training.

    Raises:
        UsageError: if there is no such model or example.
    """
    path = walk_path(out, force)
    write_walk(path, walk(model, a, b, steps=steps, device=device, reading=reading), "interpolate")
