"""Reconstruct and denoise: r(x) of every example."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ae_lightning.core.showing import shown
from ae_lightning.inference.codes import array
from ae_lightning.inference.inputs import Inputs, opened
from ae_lightning.inference.reading import Reading
from ae_lightning.inference.trained import TrainedModel, repeated


@shown
class Reconstructions(NamedTuple):
    """The reconstructions of some examples.

    Args:
        path: their names.
        x: what was reconstructed (B, *S).
        r: the reconstructions (B, *S), clamped to the data's range.
    """

    path: list[str]
    x: NDArray[np.float32]
    r: NDArray[np.float32]

    @property
    def error(self) -> NDArray[np.float32]:
        """The maps of errors (B, 1, H, W): root mean squares of r − x over the channels."""
        error: NDArray[np.float32] = np.sqrt(np.square(self.r - self.x).mean(1, keepdims=True))
        return error


def reconstruct(
    model: str | Path | TrainedModel,
    *data: str,
    steps: int = 1,
    split: str | None = None,
    limit: int | None = None,
    batch_size: int = 256,
    device: str = "auto",
    corrupt: bool = False,
    reading: Reading | None = None,
) -> NDArray[np.float32]:
    """Return the reconstructions r(x) of data (N, *S), clamped to the data's range.

    Args:
        model: a run, a checkpoint or a loaded model.
        data: a folder, image files, an array file or a shipped data set; that of training if none.
        steps: how often to reconstruct: 2 for r(r(x)).
        split: train, val or test; all, if None.
        limit: how many examples to take at most.
        batch_size: how many to reconstruct at a time.
        device: auto, cpu, cuda, ….
        corrupt: whether to corrupt them as in training.
        reading: how image files are read, if not as in training: see `Reading`.

    Raises:
        UsageError: if there is no such model or no such data, or they do not fit.
    """
    trained, inputs = opened(model, data, split, limit, device, reading)
    each = each_reconstruction(trained, inputs, steps, batch_size, corrupt)
    return np.concatenate([part.r for part in each])


# To remove the noise of images is to reconstruct them as they are.
denoise = reconstruct


@torch.no_grad()
def each_reconstruction(
    trained: TrainedModel,
    inputs: Inputs,
    steps: int = 1,
    batch_size: int = 256,
    corrupt: bool = False,
) -> Iterator[Reconstructions]:
    """Reconstruct batch by batch."""
    for batch in inputs.batches(batch_size, trained.device, "Reconstructing", corrupt):
        yield reconstructed(trained, batch.names, batch.pair.x_tilde, steps)


def reconstructed(
    trained: TrainedModel, names: list[str], x: Tensor, steps: int = 1
) -> Reconstructions:
    """Reconstruct x (B, *S), clamped to the data's range."""
    r = repeated(trained.model, x, steps)
    if trained.model.value_range is not None:
        r = r.clamp(*trained.model.value_range)
    return Reconstructions(names, array(x), array(r))
