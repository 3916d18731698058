"""A run of three epochs, and its metrics."""

import csv
from pathlib import Path

# The schedule spans a number of epochs, so that a run may be stopped before and go on.
FIT = (
    *("fit", "--config", "vae", "--config", "digits", "--data.batch_size", "256"),
    *("--model.lr_schedule.epochs", "3", "--checkpoints.every_n_steps", "2"),
)


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))
