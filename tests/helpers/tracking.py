"""A run that is tracked, and what its tracker was told."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from helpers.wandb_files import records

FIT = (
    *("fit", "--config", "undercomplete", "--data", "Manifold", "--data.size", "99"),
    *("--data.val_size", "9", "--model.encoder.widths", "[8]", "--model.decoder.widths", "[8]"),
    *("--trainer.log_every_n_steps", "1", "--model.latent", "2", "--model.lr_schedule", "null"),
)


def told(run: Path) -> list[Any]:
    """The records of a run's offline files, in the order in which the files were made."""
    files = sorted(run.glob("wandb/offline-run-*/run-*.wandb"), key=os.path.getmtime)
    deadline = time.monotonic() + 30  # W&B's own process writes the end
    for file in files:
        while not any(r.HasField("exit") for r in records(file)) and time.monotonic() < deadline:
            time.sleep(0.05)
    return [record for file in files for record in records(file)]


def history(run: Path) -> list[dict[str, Any]]:
    """The rows that were logged, nested names joined."""
    return rows(told(run))


def rows(found: Iterable[Any]) -> list[dict[str, Any]]:
    items = (record.history.item for record in found if record.HasField("history"))
    return [{"/".join(i.nested_key): json.loads(i.value_json) for i in row} for row in items]
