"""Weights & Biases: a logger that falls back to offline, artifacts, and an end in time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, Literal

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import WandbLogger

from ae_lightning.core.errors import UsageError
from ae_lightning.training import run_directory
from ae_lightning.training.checkpoint_writing import Checkpoints
from ae_lightning.training.private import init_arguments, opened_run

# Seconds that W&B's server may take to open a run, and to receive what is left at its end.
OPEN: Final = 6.0
CLOSE: Final = 10.0

Upload = bool | Literal["all"]


class WeightsAndBiases(WandbLogger):
    """Lightning's logger, which falls back to offline if the server fails.

    Args:
        upload: whether to send the best checkpoint as an artifact at the end of training, or, if
            "all", whenever there is a better one.
        offline: whether all records stay on the disk.
        others: the arguments of Lightning's WandbLogger.

    Raises:
        UsageError: on first use, if W&B refuses the arguments.
    """

    def __init__(self, upload: Upload = False, offline: bool = False, **others: Any) -> None:
        # The parser passes None for what was not given, such as `resume`, which is then "allow".
        super().__init__(**{name: value for name, value in others.items() if value is not None})
        self.upload = upload
        self._init = init_arguments(self)
        self._init.pop("anonymous", None)  # Lightning always passes it, and wandb warns of it
        if offline:  # Lightning would set it for the whole environment
            self._init["mode"] = "offline"

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        if opened_run(self) is None:
            import wandb

            self._init.setdefault("settings", settings())
            try:
                return super().experiment
            except wandb.errors.UsageError as error:
                raise UsageError(f"trainer.logger: {first_line(error)}.") from error
            except wandb.errors.Error as error:
                wandb.teardown(exit_code=1)  # its process would keep the run's id
                self._init["mode"] = "offline"
                print(f"Weights & Biases: offline, since {first_line(error)}", flush=True)
        return super().experiment


class Tracking(Callback):
    """Send the best checkpoint to W&B on request, and end its run with training."""

    def __init__(self, logger: WeightsAndBiases) -> None:
        self.logger = logger
        self._sent: float | None = None  # when the checkpoint sent last was saved

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if self.logger.upload == "all":
            self._send(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.logger.upload:
            self._send(trainer)
        self._finish(trainer, 0)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._finish(trainer, 1)

    def _send(self, trainer: Trainer) -> None:
        best = Path(trainer.default_root_dir, run_directory.CHECKPOINTS, run_directory.BEST)
        if not (trainer.is_global_zero and best.exists()) or best.stat().st_mtime == self._sent:
            return
        import wandb

        self._sent = best.stat().st_mtime
        run = self.logger.experiment
        keepers = (c for c in trainer.checkpoint_callbacks if isinstance(c, Checkpoints))
        figures = dict(next((c.best for c in keepers), {}))
        artifact = wandb.Artifact(f"model-{run.id}", "model", metadata=figures)
        artifact.add_file(str(best))  # a copy, since a better one may replace it
        run.log_artifact(artifact, aliases=["latest", "best"])

    def _finish(self, trainer: Trainer, code: int) -> None:
        run = opened_run(self.logger)
        if not trainer.is_global_zero or run is None:
            return
        try:
            run.finish(exit_code=code)
        except Exception as error:  # whatever it is, training is over
            print(f"Weights & Biases: {first_line(error)}; later: wandb sync", flush=True)


def settings() -> Any:
    """Limit how long wandb may wait, if its version can and the environment does not say."""
    import wandb

    ours: dict[str, Any] = {"init_timeout": OPEN, "finish_timeout": CLOSE}
    known = wandb.Settings.model_fields
    told = {name for name in ours if f"WANDB_{name.upper()}" in os.environ}
    return wandb.Settings(**{k: v for k, v in ours.items() if k in known and k not in told})


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its name if it has none."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
