"""A callback that kills its own process at a chosen moment of training, with no chance to react.

The moment comes from the environment, so that a killed run and its resumption have one config.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer

MOMENT = "SOAK_KILL"  # such as "batch:12": the twelfth time of that place in this process
PLACES = ("batch", "last_batch", "validation", "validation_end", "writing", "written", "replaced")


class Killer(Callback):
    """Send SIGKILL to this process at the moment that the environment names; never, if none."""

    def __init__(self) -> None:
        self.place, _, times = os.environ.get(MOMENT, "").partition(":")
        self.left = int(times or 0)

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if self.place == "writing":
            torch.save = self._half_written(torch.save)  # type: ignore[assignment]
        elif self.place in ("written", "replaced"):
            name = {"written": "fsync", "replaced": "replace"}[self.place]
            setattr(os, name, self._counted(getattr(os, name)))

    def _pass(self, place: str) -> None:
        if place == self.place:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def _half_written(self, save: Any) -> Any:
        def wrapper(value: Any, file: Any, *args: Any, **kwargs: Any) -> None:
            save(value, file, *args, **kwargs)
            if self.left == 1:  # what lies on the disk when the process dies ends in the middle
                file.file.flush()
                file.file.truncate(file.file.tell() // 2)
            self._pass("writing")

        return wrapper

    def _counted(self, function: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if "ckpt" in str(args[0]) or self.place == "written":
                self._pass(self.place)
            return result

        return wrapper

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._pass("batch")
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._pass("last_batch")

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if not trainer.sanity_checking:
            self._pass("validation")

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self._pass("validation_end")
