"""Callbacks that send their own process a signal at a chosen moment, or hold it up.

The moment comes from the environment, so that a killed run and its resumption have one config.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch import Callback, Trainer

# Such as "batch:12": SIGKILL at the twelfth time of that place in this process; or several, with
# other signals, as in "batch:12:SIGTERM writing:3:SIGINT+SIGINT".
MOMENT = "SOAK_KILL"
PLACES = ("batch", "last_batch", "validation", "validation_end", "writing", "written", "replaced")


class Killer(Callback):
    """Send signals to this process at the moments that the environment names; none, if none."""

    def __init__(self) -> None:
        self.left: dict[str, int] = {}
        self.signals: dict[str, list[int]] = {}
        for moment in os.environ.get(MOMENT, "").split():
            place, times, *name = moment.split(":")
            self.left[place] = int(times)
            names = name[0].split("+") if name else ["SIGKILL"]
            self.signals[place] = [signal.Signals[n] for n in names]

    def setup(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        if "writing" in self.left:
            torch.save = self._half_written(torch.save)  # type: ignore[assignment]
        for place, name in {"written": "fsync", "replaced": "replace"}.items():
            if place in self.left:
                setattr(os, name, self._counted(place, getattr(os, name)))

    def _pass(self, place: str) -> None:
        if place in self.left:
            self.left[place] -= 1
            if self.left[place] == 0:
                for signum in self.signals[place]:
                    os.kill(os.getpid(), signum)

    def _half_written(self, save: Any) -> Any:
        def wrapper(value: Any, file: Any, *args: Any, **kwargs: Any) -> None:
            save(value, file, *args, **kwargs)
            if self.left["writing"] == 1 and signal.SIGKILL in self.signals["writing"]:
                # What lies on the disk when the process dies ends in the middle.
                file.file.flush()
                file.file.truncate(file.file.tell() // 2)
            self._pass("writing")

        return wrapper

    def _counted(self, place: str, function: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if place == "written" or "ckpt" in str(args[0]):
                self._pass(place)
            return result

        return wrapper

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._pass("batch")
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._pass("last_batch")

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._pass("sanity" if trainer.sanity_checking else "validation")

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        if not trainer.sanity_checking:
            self._pass("validation_end")


class Lingering(Callback):
    """Hold rank zero up after a signal, as a slow page of pictures does, until others have ended.

    Lightning looks every few seconds, and here more often, whether they have; what they ended with
    is left in ended.txt.
    """

    def __init__(self) -> None:
        self.others: list[Any] = []
        _ChildProcessObserver.__init__.__defaults__ = (0.1,)

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self.others = list(getattr(trainer.strategy.launcher, "procs", []))

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        if self.others:
            codes = [process.wait(60) for process in self.others]
            time.sleep(1)
            Path("ended.txt").write_text(" ".join(map(str, codes)))
