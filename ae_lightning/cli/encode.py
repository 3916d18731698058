"""The codes of one's own files, as a table."""

from pathlib import Path

from ae_lightning.core.outputs import output_file, output_path
from ae_lightning.core.printing import counted, tell
from ae_lightning.inference.codes import each_code
from ae_lightning.inference.inputs import opened
from ae_lightning.inference.reading import Reading
from ae_lightning.inference.tables import writer_of


def encode(
    model: Path,
    *data: str,
    out: Path,
    split: str | None = None,
    limit: int | None = None,
    batch_size: int = 256,
    device: str = "auto",
    corrupt: bool = False,
    force: bool = False,
    reading: Reading | None = None,
) -> None:
    """Write the codes of data, a row for each example: path, label, code and its spread.

    Args:
        model: a run, for its best checkpoint, or a checkpoint.
        data: a folder, image files, an array file or a shipped data set such as mnist; that of
            training, if none is given.
        out: the table to write: .parquet, .csv or .npz.
        split: train, val or test; by default, all.
        limit: how many examples to take at most.
        batch_size: how many to encode at a time.
        device: auto, cpu, cuda, cuda:1, ….
        corrupt: corrupt the inputs, as in training.
        force: replace OUT, if it exists.
        reading: how image files are read, where that is not to be as in training.

    Raises:
        UsageError: if there is no such model or no such data, or they do not fit.
    """
    path = output_path(out, force)
    write = writer_of(path)
    trained, inputs = opened(model, data, split, limit, device, reading)
    with output_file(path) as file:
        rows = write(file, each_code(trained, inputs, batch_size, corrupt))
    tell(f"{path}: the codes of {counted(rows, 'example')}, of size {trained.model.latent}")
