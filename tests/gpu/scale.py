"""How much to run, and on what: a GPU, or so little that a test can run it on a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.product import Setting

# It would draw pictures, which no figure here is about.
NO_PICTURES = {"class_path": "ae_lightning.callbacks.Report", "init_args": {"names": []}}


@dataclass(frozen=True)
class Scale:
    """The size of all experiments, and where they run.

    Args:
        epochs: of a training that is timed, the first of which does not count.
        share: the part of an epoch's steps that is trained.
        root: a folder with MNIST.
    """

    device: torch.device
    epochs: int
    share: float
    root: Path

    def setting(self, conv: bool, batch: int, images: int = 55_000) -> Setting:
        return Setting(conv, batch, max(2, int(images // batch * self.share)))

    def trainer(self, *callbacks: dict[str, Any], **options: Any) -> dict[str, Any]:
        """The options of a trainer that shows and draws as shipped, but for pictures."""
        return {
            "accelerator": "gpu" if self.device.type == "cuda" else "cpu",
            "devices": 1,
            "max_epochs": self.epochs,
            "limit_val_batches": 2,
            "callbacks": [NO_PICTURES, *callbacks],
            **options,
        }

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"
