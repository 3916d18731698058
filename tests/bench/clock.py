"""The time of training epochs, as `fit` runs them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer


class Clock(Callback):
    """Append the seconds a training step took, epoch by epoch, to a file.

    It is the time from on_train_epoch_start to on_train_epoch_end, less that from
    on_validation_start to on_validation_end, over the epoch's steps. What callbacks do at a
    validation's end, such as saving checkpoints, is part of it.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        self.start = time.perf_counter()

    def on_validation_start(self, trainer: Trainer, *_: Any) -> None:
        self.validation = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, *_: Any) -> None:
        if not trainer.sanity_checking:
            self.start += time.perf_counter() - self.validation

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        seconds = time.perf_counter() - self.start
        with self.path.open("a") as file:
            file.write(f"{seconds / trainer.num_training_batches}\n")


def seconds(path: Path) -> float:
    """The mean of what a clock wrote."""
    times = [float(line) for line in path.read_text().split()]
    return sum(times) / len(times)
