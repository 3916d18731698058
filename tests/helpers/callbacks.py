"""Callbacks as users write them: they read metrics at hooks, count, or exchange weights."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder
from torch.optim.lr_scheduler import ReduceLROnPlateau


class Reader(Callback):
    """Keep what it reads in each hook, and how often each is called."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {"read": [], "calls": {}}

    def _read(self, hook: str, trainer: Trainer) -> None:
        if trainer.sanity_checking:
            return
        calls = self.state["calls"]
        calls[hook] = calls.get(hook, 0) + 1
        found = {k: float(v) for k, v in trainer.callback_metrics.items()}
        self.state["read"].append([hook, found.get("val/loss"), found.get("train/loss")])

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._read("batch start", trainer)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._read("batch end", trainer)

    def on_validation_start(self, trainer: Trainer, model: Any) -> None:
        self._read("validation start", trainer)

    def on_validation_end(self, trainer: Trainer, model: Any) -> None:
        self._read("validation end", trainer)

    def on_train_epoch_start(self, trainer: Trainer, model: Any) -> None:
        self._read("epoch start", trainer)

    def on_train_epoch_end(self, trainer: Trainer, model: Any) -> None:
        self._read("epoch end", trainer)

    def state_dict(self) -> dict[str, Any]:
        return self.state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state = state


class Plateau(Callback):
    """Divide the model's penalty weight by two unless the last validation was far better."""

    def __init__(self) -> None:
        self.rate = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        self.scheduler = ReduceLROnPlateau(self.rate, patience=0, threshold=10.0, factor=0.5)

    def on_train_epoch_end(self, trainer: Trainer, model: Any) -> None:
        self.scheduler.step(trainer.callback_metrics["val/loss"])
        model.regularizers["rate"].weight = self.rate.param_groups[0]["lr"]

    def on_train_start(self, trainer: Trainer, model: Any) -> None:
        model.regularizers["rate"].weight = self.rate.param_groups[0]["lr"]

    def state_dict(self) -> dict[str, Any]:
        return {"scheduler": self.scheduler.state_dict(), "lr": self.rate.param_groups[0]["lr"]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(state["scheduler"])
        self.rate.param_groups[0]["lr"] = state["lr"]


class Exchanger(Callback):
    """Validate with other weights than those in training: here with half of each."""

    def __init__(self) -> None:
        self.kept: list[torch.Tensor] = []

    def on_validation_start(self, trainer: Trainer, model: Any) -> None:
        self.kept = [p.detach().clone() for p in model.parameters()]
        for p in model.parameters():
            p.data.mul_(0.5)

    def on_validation_end(self, trainer: Trainer, model: Any) -> None:
        for p, kept in zip(model.parameters(), self.kept, strict=True):
            p.data.copy_(kept)


class LateExchanger(Exchanger):
    """The same, in Lightning's hooks around the batches of a validation."""

    on_validation_epoch_start = Exchanger.on_validation_start
    on_validation_epoch_end = Exchanger.on_validation_end
    on_validation_start = on_validation_end = Callback.on_validation_start


class LaterFinder(BatchSizeFinder):
    """A finder of a batch size that waits for an epoch to come."""

    def on_fit_start(self, *_: Any) -> None:
        pass
