"""The metrics of a run, as its metrics.csv holds them."""

import math
import warnings
from pathlib import Path
from typing import Final

from ae_lightning.training.metrics_csv import PLACE, read_metrics
from ae_lightning.training.run_directory import METRICS

MONITOR: Final = "val/objective"  # what the best checkpoint is chosen by, unless told otherwise
History = dict[str, list[tuple[int, float]]]  # by name: (step, value), in the order logged


def best_step(history: History, monitor: str = MONITOR, mode: str = "min") -> int | None:
    """The step of the best value of a metric, the first of equal ones; None if it was not logged.

    >>> best_step({"val/objective": [(1, 3.0), (2, 2.0), (3, 2.5)]})
    2
    """
    sign = -1 if mode == "max" else 1
    points = history.get(monitor, [])
    return min(points, key=lambda point: sign * point[1])[0] if points else None


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
