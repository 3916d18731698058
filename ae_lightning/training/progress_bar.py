"""A progress bar that costs training next to nothing."""

import time
from typing import Any, Final

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

PER_SECOND: Final = 2


class SparingProgressBar(RichProgressBar):
    """Lightning's bar, drawn twice a second, and told of a step only when it is due to be drawn."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=PER_SECOND)
        self._due = 0.0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now, last = time.monotonic(), batch_idx + 1 == self.total_train_batches
        if now >= self._due or last:
            self._due = now + 1 / PER_SECOND
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
