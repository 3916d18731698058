"""The reconstructions of one's own files, each under its own name."""

from pathlib import Path

import numpy as np

from ae_lightning.core.errors import UsageError
from ae_lightning.core.outputs import output_file, output_folder, output_path
from ae_lightning.core.printing import counted, tell
from ae_lightning.inference.image_writing import require_folder, write_images
from ae_lightning.inference.inputs import opened
from ae_lightning.inference.reading import Reading
from ae_lightning.inference.reconstructions import each_reconstruction
from ae_lightning.inference.trained import require_images


def reconstruct(
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
    """Write the reconstruction of every image under its own name and in its own format.

    Args:
        model: a run, for its best checkpoint, or a checkpoint.
        data: a folder, image files, an array file or a shipped data set such as mnist; that of
            training, if none is given.
        out: the folder to write to; or, for an array of all of them, a .npy file.
        steps: how often to reconstruct.
        error: write NAME.error.png beside each, the map of |r(x) − x|.
        split: train, val or test; by default, all.
        limit: how many examples to take at most.
        batch_size: how many to reconstruct at a time.
        device: auto, cpu, cuda, cuda:1, ….
        corrupt: corrupt the inputs, as in training.
        force: replace the file OUT, or those of the same names in the folder OUT, if it exists.
        reading: how image files are read, where that is not to be as in training.

    Raises:
        UsageError: if there is no such model or no such data, or they do not fit.
    """
    require_folder(out := output_path(out, force))
    trained, inputs = opened(model, data, split, limit, device, reading)
    each = each_reconstruction(trained, inputs, steps, batch_size, corrupt)
    if out.suffix == ".npy":
        r = np.concatenate([part.r for part in each])
        with output_file(out) as opened_file:
            np.save(opened_file, r)
        tell(f"{out}: an array of shape {r.shape}")
        return
    require_images(trained)
    if (given := inputs.folder) is not None and given.resolve() == out.resolve():
        raise UsageError(f"out is {out}, which holds the data: name another folder.")
    low, high = trained.model.value_range or (0.0, 1.0)
    written = set[Path]()
    with output_folder(out) as folder:
        for part in each:
            files = write_images(folder, part.path, (part.r - low) / (high - low), inputs.deep)
            if error:
                maps = [f"{file.relative_to(folder).as_posix()}.error.png" for file in files]
                write_images(folder, maps, part.error / (high - low))
            for file in files:
                if file in written:
                    raise UsageError(f"two images become {file.name}: rename one of them.")
                written.add(file)
    tell(f"{out}: {counted(len(written), 'image')}" + ", each with the map of its error" * error)
