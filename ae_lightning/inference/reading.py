"""How image files are read for a trained model: as in its training, but for what is given."""

from copy import copy
from pathlib import Path
from typing import Any, Literal

import torch
from typing_extensions import TypedDict

from ae_lightning.core.errors import one_of
from ae_lightning.inference.trained import TrainedModel, load


class Reading(TypedDict, total=False):
    """Options of `datamodules.ImageFolder`, by its names; those left out are as in training.

    On the command line they are called as for `fit`: `--data.unreadable skip`.
    """

    unreadable: Literal["refuse", "skip"]
    background: float | tuple[float, float, float]
    bits: Literal[8, 32]
    range: tuple[float, float]
    frames: Literal["refuse", "first", "all"]
    resize: int | tuple[int, int]
    fit: Literal["crop", "pad", "stretch"]
    greyscale: bool
    max_pixels: int
    num_workers: int


def loaded(
    model: str | Path | TrainedModel,
    device: str | torch.device,
    reading: Reading | dict[str, Any] | None = None,
) -> TrainedModel:
    """Load a model, unless it is loaded, and let image files be read for it as is said.

    Raises:
        UsageError: if there is no such model, or no such option of reading.
    """
    for name in reading or {}:
        one_of("reading", name, Reading.__annotations__)
    trained = model if isinstance(model, TrainedModel) else load(model, device)
    if reading:
        trained = copy(trained)
        trained.reading = dict(reading)
    return trained
