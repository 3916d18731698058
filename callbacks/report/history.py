"""The metrics of a run, as its metrics.csv holds them."""

import csv
import math
from pathlib import Path

from ae_lightning.training.run_directory import METRICS

History = dict[str, list[tuple[int, float]]]  # by name: (step, value), in the order logged


def read_history(run: Path) -> History:
    """Read every metric of a run directory by name, skipping values that are not finite.

    Empty if there is no metrics.csv.
    """
    history: History = {}
    if not (run / METRICS).exists():
        return history
    with (run / METRICS).open(newline="") as file:
        for row in csv.DictReader(file):
            for name, text in row.items():
                # A row that a crash cut short has no value in its last columns.
                if name in ("epoch", "step") or not text or name is None:
                    continue
                if math.isfinite(value := float(text)):
                    history.setdefault(name, []).append((int(row["step"]), value))
    return history
