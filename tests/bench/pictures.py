"""P11: what the pictures of a run cost."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ae_lightning.callbacks import Report
from lightning.pytorch import Callback, Trainer

from .data import mnist_root
from .measure import Case, Goal, Rounds, alternate
from .product import run_apart

SYSTEMS = (
    *("linear", "undercomplete", "sparse", "contractive"),
    *("denoising", "stochastic", "vae", "iwae"),
)
EPOCHS = 10


class Timed(Report):
    """A report that writes to a file what its run cost: its own CPU seconds, and all others'.

    The others' are those of training and validation, from the start of the first epoch.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path, self.own = Path(path), 0.0

    def _timed(self, hook: Callable[..., None], *args: Any, **named: Any) -> None:
        before = time.process_time()
        hook(*args, **named)
        self.own += time.process_time() - before

    def setup(self, *args: Any, **named: Any) -> None:
        self._timed(super().setup, *args, **named)

    def on_train_start(self, *args: Any) -> None:
        self.start = time.process_time()

    def on_train_end(self, *args: Any) -> None:
        self.others = time.process_time() - self.start
        self._timed(super().on_train_end, *args)

    def on_fit_end(self, *args: Any) -> None:
        self._timed(super().on_fit_end, *args)
        self.path.write_text(f"{self.own} {self.others}")
