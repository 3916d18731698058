"""What each dimension of the code does, as strips and as a film."""

from pathlib import Path

from ae_lightning.cli.walk_files import walk_path, write_walk
from ae_lightning.inference.reading import Reading
from ae_lightning.inference.walks import traverse as walk


def traverse(
    model: Path,
    start: str | None = None,
    *,
    out: Path,
    data: str | None = None,
    dims: list[int] | None = None,
    rows: int = 10,
    columns: int = 11,
    device: str = "auto",
    force: bool = False,
    reading: Reading | None = None,
) -> None:
    """Move one dimension of the code at a time, and draw what that decodes to.

    Args:
        model: a run, for its best checkpoint, or a checkpoint.
        start: the example where the walks begin: a file, or SPLIT/PLACE of the data of training,
            such as test/0; by default, the mean code.
        out: a .png file for strips, a .gif file for a film, or a folder for both.
        data: examples whose codes set how far the walks go: a folder, an array file or a shipped
            data set; by default, the validation split of the data of training.
        dims: the dimensions, as in [0,3]; by default, the most important.
        rows: how many dimensions to draw.
        columns: how many values of each.
        device: auto, cpu, cuda, cuda:1, ….
        force: replace what OUT names, if it exists.
        reading: how image files are read, where that is not to be as in training.

    Raises:
        UsageError: if there is no such model, example, data or dimension.
    """
    path = walk_path(out, force)
    found = walk(
        model,
        start,
        data=data,
        dims=dims,
        rows=rows,
        columns=columns,
        device=device,
        reading=reading,
    )
    write_walk(path, found, "traverse")
