"""Trainings that note which examples they see."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from ae_lightning.core.types import Pair
from ae_lightning.datamodules import PairDataModule
from helpers.training import fit

Seen = list[tuple[int, list[int], float]]  # epoch, places, and the sum of x̃
EPOCHS, BATCHES = 3, 5


class Recorder(L.LightningModule):
    """Record every training batch, and learn something, so that there are steps to count."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.seen: Seen = []

    def training_step(self, pair: Pair, batch_idx: int) -> Tensor:
        self.seen.append((self.current_epoch, pair.places.tolist(), float(pair.x_tilde.sum())))
        return self.layer(pair.x_tilde.mean().view(1, 1)).sum()

    def validation_step(self, pair: Pair, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3)


class Killed(Exception):
    pass


class KilledAfter(Callback):
    """Save a checkpoint in a hook once `batches` are seen, and die at the next batch."""

    def __init__(self, hook: str, batches: int, path: Path) -> None:
        self.batches, self.path, self.saved = batches, path, False
        setattr(self, hook, self._save)

    def _save(self, trainer: L.Trainer, module: Recorder, *_: object) -> None:
        if len(module.seen) == self.batches and not self.saved:
            trainer.save_checkpoint(self.path)
            self.saved = True

    def on_train_batch_start(self, trainer: L.Trainer, *_: object) -> None:
        if self.saved:
            raise Killed


def seen_of(
    data: PairDataModule, *callbacks: Callback, resume: Path | None = None, **options: object
) -> Seen:
    """What a training sees, to its end or until it is killed."""
    module, limits = Recorder(), {"max_epochs": EPOCHS, **options}
    try:
        fit(module, data, resume=resume, callbacks=list(callbacks), **limits)
    except Killed:
        assert callbacks
    return module.seen


def examples(seen: Seen) -> dict[int, list[int]]:
    """The examples of each epoch, in the order they were seen."""
    found: dict[int, list[int]] = {}
    for epoch, places, _ in seen:
        found[epoch] = found.get(epoch, []) + places
    return found
