"""What a run writes down besides its metrics: its config, for loggers and checkpoints."""

import warnings
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from lightning.pytorch import Callback, LightningModule, Trainer

from ae_lightning.core.errors import UsageError, nearest
from ae_lightning.training.checkpoint_schema import RUN_CONFIG
from ae_lightning.training.directions import refuse_contradiction

LOG_INTERVAL: Final = 50  # steps


class Bookkeeping(Callback):
    """Give loggers and checkpoints the config, and shorten the log interval to fit an epoch."""

    def __init__(self, config: dict[str, Any], given_interval: int | None) -> None:
        self.config, self.given_interval = config, given_interval

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._check_monitors(trainer, pl_module)
        if self.given_interval is not None:
            return
        batches = len(trainer.datamodule.train_dataloader())  # type: ignore[attr-defined]
        limit = trainer.limit_train_batches
        batches = min(batches, limit) if isinstance(limit, int) else int(batches * (limit or 1))
        steps = -(-batches // trainer.accumulate_grad_batches)
        trainer.log_every_n_steps = max(1, min(LOG_INTERVAL, steps))  # type: ignore[attr-defined]

    @staticmethod
    def _check_monitors(trainer: Trainer, model: Any) -> None:
        """Refuse what watches a metric the wrong way round; warn of a loss that cannot compare."""
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            monitor, name = getattr(callback, "monitor", None), type(callback).__name__
            if isinstance(monitor, str):
                refuse_contradiction(monitor, getattr(callback, "mode", None), name)
            if monitor == "val/loss" and model.schedules:
                warnings.warn(
                    f"{name} watches val/loss, whose weights change in training: val/objective is "
                    "the loss at the weights that they end with, and compares between epochs.",
                    stacklevel=2,
                )

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse before the first step a monitor that would fail after the first epoch."""
        known = [name for name in trainer.callback_metrics if name.startswith("val/")]
        for option, found in (
            ("trainer.callbacks", trainer.callbacks),  # type: ignore[attr-defined]
            ("model.lr_schedule", [config.scheduler for config in trainer.lr_scheduler_configs]),
        ):
            for watching in found:
                monitor = str(getattr(watching, "monitor", ""))
                if known and monitor.startswith("val") and monitor not in known:
                    raise UsageError(
                        f"{option}: the monitor of {type(watching).__name__} is {monitor}, which "
                        f"validation does not log: {nearest(monitor, known)}"
                    )

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint[RUN_CONFIG] = self.config

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for logger in trainer.loggers:
            logger.log_hyperparams(self.config)


def as_yaml(value: Any) -> Any:
    """A setting as plain values with text for names, and as text if it is something else.

    >>> from lightning.pytorch.callbacks.timer import Interval
    >>> as_yaml({"scheduling": {0: 1}, "interval": Interval.step})
    {'scheduling': {'0': 1}, 'interval': 'step'}
    """
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, Mapping):
        return {str(k): as_yaml(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [as_yaml(v) for v in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)
