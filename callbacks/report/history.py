"""The metrics of a run, as its metrics.csv holds them."""

import math
import warnings
from pathlib import Path

from ae_lightning.training.metrics_csv import PLACE, read_metrics
from ae_lightning.training.run_directory import METRICS

History = dict[str, list[tuple[int, float]]]  # by name: (step, value), in the order logged


def read_history(run: Path) -> History:
    """Read every metric of a run directory by name, skipping values that are not finite numbers.

    Empty if there is no metrics.csv; a warning says if it, or a part of it, cannot be read.
    """
    columns, rows, wrong = read_metrics(run)
    if wrong:
        warnings.warn(f"{run / METRICS} {wrong}", stacklevel=2)
    history: History = {}
    for row in rows:
        for name in columns:
            if name in PLACE or not row["step"]:
                continue
            if math.isfinite(value := number(row[name])):
                history.setdefault(name, []).append((int(row["step"]), value))
    return history


def number(text: str) -> float:
    """Return a number, or nan if the text is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
