"""What a state holds of a training beside what Lightning saves."""

from typing import Any

from lightning.pytorch import Trainer

from ae_lightning.training import early_stopping, given_checkpoints
from ae_lightning.training.metrics_csv import MetricsFile
from ae_lightning.training.private import last_logged


def at_hand(trainer: Trainer) -> dict[str, Any]:
    """Return how far metrics.csv has come, what was logged, and what callbacks do not save."""
    metrics = [m for m in trainer.loggers if isinstance(m, MetricsFile)]
    return {
        "metrics_rows": metrics[0].rows if metrics else 0,
        "should_stop": trainer.should_stop,
        "given": given_checkpoints.at_hand(trainer),
        "stoppers": early_stopping.stoppers(trainer),
        "logged": last_logged(trainer),
    }
