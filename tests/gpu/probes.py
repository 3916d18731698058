"""Callbacks that look at a training from inside, and note what they see in `SEEN`."""

from __future__ import annotations

import os
import signal
import traceback
import warnings
from collections import Counter
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

SEEN: dict[str, Any] = {}


class Residence(Callback):
    """Note where a data set's images lie."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        SEEN["residence"] = trainer.datamodule.sets["train"].x.device.type  # type: ignore[attr-defined]


class Waits(Callback):
    """Count how often the host waits for the GPU from the second step on, up to an epoch's end.

    A wait belongs to the step that began before it, so that fetching the next batch is part of it.
    """

    MESSAGE = "called a synchronizing CUDA operation"

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        step = trainer.global_step
        if step == 1:
            self._begin()
        if step >= 1:
            kind = "logging" if (step + 1) % trainer.log_every_n_steps == 0 else "other"  # type: ignore[attr-defined]
            self.kind, SEEN["steps"] = kind, SEEN["steps"] + Counter({kind: 1})

    def _begin(self) -> None:
        SEEN.update(steps=Counter(), waits=Counter(), places=Counter())
        self._catch = warnings.catch_warnings()
        self._catch.__enter__()
        warnings.simplefilter("always")
        warnings.showwarning = self._note  # type: ignore[assignment]
        torch.cuda.set_sync_debug_mode("warn")

    def _note(self, message: Any, *_: Any) -> None:
        if self.MESSAGE not in str(message):
            return
        SEEN["waits"][self.kind] += 1
        stack = [f for f in traceback.extract_stack() if "/torch/" not in f.filename][:-1]
        where = " < ".join(f"{f.filename.rpartition('/')[2]}:{f.lineno}" for f in stack[-3:][::-1])
        SEEN["places"][f"{self.kind}: {where}"] += 1

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        # What a validation begins with belongs to no step.
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            self._end()

    def _end(self) -> None:
        if hasattr(self, "_catch"):
            torch.cuda.set_sync_debug_mode("default")
            self._catch.__exit__(None, None, None)
            del self._catch


class Stop(Callback):
    """Send this process SIGTERM after so many steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)
