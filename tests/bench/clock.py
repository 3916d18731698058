"""The time of training epochs, as `fit` runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from .hand import now


class Clock(Callback):
    """Append the seconds a training step took, epoch by epoch, to a file.

    It is the time from on_train_epoch_start to on_train_epoch_end, less that from
    on_validation_start to on_validation_end, over the epoch's steps. What callbacks do at a
    validation's end, such as saving checkpoints, is part of it.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        self.start = now()

    on_train_start = on_train_epoch_start  # a resumed run may begin within an epoch

    def on_validation_start(self, trainer: Trainer, *_: Any) -> None:
        self.validation = now()

    def on_validation_end(self, trainer: Trainer, *_: Any) -> None:
        if not trainer.sanity_checking:
            self.start += now() - self.validation

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        seconds = now() - self.start
        with self.path.open("a") as file:
            file.write(f"{seconds / trainer.num_training_batches}\n")


def seconds(path: Path) -> list[float]:
    """What a clock wrote: the seconds that a step took in each epoch."""
    return [float(line) for line in path.read_text().split()]
