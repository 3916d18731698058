"""What a model makes up, as images."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ae_lightning.callbacks.drawing.images import limits_of
from ae_lightning.callbacks.drawing.saving import png
from ae_lightning.callbacks.prior_samples import sample_grid
from ae_lightning.core.outputs import output_file, output_folder, output_path
from ae_lightning.core.printing import counted, tell
from ae_lightning.inference.image_writing import require_folder, write_image
from ae_lightning.inference.reading import Reading, loaded
from ae_lightning.inference.sampling import sample as sample_from
from ae_lightning.inference.sampling import way_of
from ae_lightning.inference.trained import require_images

WAYS = Literal["prior", "mixture", "flow", "two_stage", "walkback", "langevin"]


def sample(
    model: Path,
    *data: str,
    out: Path,
    n: int = 64,
    by: WAYS | None = None,
    steps: int | None = None,
    seed: int = 0,
    batch_size: int = 256,
    device: str = "auto",
    force: bool = False,
    reading: Reading | None = None,
) -> None:
    """Write samples of a model: a file each, and a grid of them.

    Args:
        model: a run, for its best checkpoint, or a checkpoint.
        data: what to fit a density of codes to, as for encode; by default, the data of training.
        out: the folder to write to; or, for an array of all of them, a .npy file.
        n: how many.
        by: the prior, for models held to it; a density that is fitted to the codes of training:
            mixture (of Gaussians; the default for the others), flow or two_stage; or a chain of a
            denoising model: walkback or langevin.
        steps: the length of a chain.
        seed: what the draws are a function of.
        batch_size: how many to decode at a time.
        device: auto, cpu, cuda, cuda:1, ….
        force: replace what OUT names, if it exists.
        reading: how image files are read, where that is not to be as in training.

    Raises:
        UsageError: if there is no such model or no such data, or it cannot be sampled by that.
    """
    require_folder(path := output_path(out, force))
    trained = loaded(model, device, reading)
    if path.suffix != ".npy":
        require_images(trained)
    way = way_of(trained, by)
    x = sample_from(trained, *data, n=n, by=way, steps=steps, seed=seed, batch_size=batch_size)
    if path.suffix == ".npy":
        with output_file(path) as opened:
            np.save(opened, x)
        tell(f"{path}: an array of shape {x.shape}, by {way}")
        return
    low, high = limits_of(trained.model, torch.from_numpy(x))
    picture = sample_grid(trained.model, torch.from_numpy(x), f"Samples by {way}")
    with output_folder(path) as folder:
        for place, each in enumerate(x):
            write_image(folder, f"{place:05d}.png", (each - low) / (high - low))
        (folder / "grid.png").write_bytes(png(picture))
    tell(f"{path}: {counted(n, 'sample')} by {way}, and grid.png")
