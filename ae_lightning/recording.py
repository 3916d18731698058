"""What training leaves in its run directory: metrics.csv, and checkpoints that survive a crash."""

from __future__ import annotations

import csv
import io
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from ae_lightning import runs
from ae_lightning.errors import UsageError, nearest


class MetricsFile(Logger):
    """Write one row of metrics.csv at a time, at once, so that a crash loses none.

    Args:
        run: the run's directory.
        resumed_at: the number of steps that the run goes on from; later rows are dropped, since
            they will be written again.
    """

    def __init__(self, run: Path, resumed_at: int = 0) -> None:
        super().__init__()
        self.run, self.path, self.resumed_at = run, run / runs.METRICS, resumed_at
        self.columns: list[str] | None = None  # None until the first row

    @property
    def name(self) -> str:
        return "metrics"

    @property
    def version(self) -> None:
        return None

    @property
    def save_dir(self) -> str:
        return str(self.run)

    @property
    def experiment(self) -> None:
        return None

    @rank_zero_only
    def log_hyperparams(self, params: Any = None, *args: Any, **kwargs: Any) -> None:
        """Leave them out: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        row = {"epoch": metrics.get("epoch", ""), "step": step, **metrics}
        if self.columns is None:
            self._rewrite([r for r in self._rows() if int(r["step"] or 0) < self.resumed_at])
        assert self.columns is not None
        if new := [name for name in row if name not in self.columns]:
            self._rewrite(self._rows(), new)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerow(row)

    def _rows(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            # A row that a crash cut short has no value in its last columns.
            return [r for r in csv.DictReader(file) if None not in r.values()]

    def _rewrite(self, rows: list[dict[str, str]], new: list[str] | None = None) -> None:
        known = self.columns or list(rows[0] if rows else ("epoch", "step"))
        self.columns = [*known, *(new or [])]
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        runs.write(self.path, text.getvalue())


class DurableCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its target, to the disk, and only then put it in its place."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        try:
            with partial.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)


class Checkpoints(Checkpoint):
    """Keep the best checkpoint, and the two newest states to resume from.

    A state is saved after every validation, and every n steps of an epoch between them.

    Args:
        monitor: the metric of validation that the best checkpoint is chosen by.
        mode: whether the least ("min") or the largest ("max") is best.
        every_n_steps: how many optimizer steps may be lost at most.

    Raises:
        UsageError: where validation does not log `monitor`.
    """

    kept = 2

    def __init__(
        self,
        monitor: str = "val/loss",
        mode: Literal["min", "max"] = "min",
        every_n_steps: int = 1000,
    ) -> None:
        self.monitor, self.mode, self.every_n_steps = monitor, mode, every_n_steps
        self.best: dict[str, float] = {}  # the best validation's metrics, and its step and epoch
        self.latest: dict[str, float] = {}
        self._saved = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved = trainer.global_step

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k[:4] == "val/"}
        if self.monitor not in metrics:
            raise UsageError(
                f"checkpoints.monitor is {self.monitor}, which validation does not log: "
                + nearest(self.monitor, metrics)
            )
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        place = {"step": float(trainer.global_step), "epoch": float(trainer.current_epoch)}
        self.latest = {**metrics, **place}
        better = self._better(metrics[self.monitor])
        if better:
            self.best = self.latest
        self._save(trainer, better)

    def _better(self, value: float) -> bool:
        if not self.best:
            return math.isfinite(value)
        former = self.best[self.monitor]
        return value < former if self.mode == "min" else value > former

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        due = trainer.global_step % self.every_n_steps == 0 and trainer.global_step != self._saved
        # Resuming from a state saved before a validation would skip it: that saves one itself.
        if due and not self._validation_follows(trainer):
            self._save(trainer)

    @staticmethod
    def _validation_follows(trainer: Trainer) -> bool:
        loop = trainer.fit_loop.epoch_loop
        every = trainer.val_check_batch
        if loop.batch_progress.is_last_batch or every is None or every == math.inf:
            return loop.batch_progress.is_last_batch
        return (loop.batch_idx + 1) % int(every) == 0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.global_step != self._saved:  # no validation saved this epoch's end
            self._save(trainer)

    def _save(self, trainer: Trainer, best: bool = False) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        folder = Path(trainer.default_root_dir, runs.CHECKPOINTS)
        state = folder / runs.state_name(trainer.global_step)
        trainer.save_checkpoint(state, weights_only=False)
        self._saved = trainer.global_step
        if trainer.is_global_zero:
            if best:
                share(state, folder / runs.BEST)
            for old in runs.states(folder.parent)[self.kept :]:
                old.unlink()

    def state_dict(self) -> dict[str, Any]:
        return {"monitor": self.monitor, "best": self.best, "latest": self.latest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.latest = state["latest"]
        if state["monitor"] == self.monitor:
            self.best = state["best"]


def share(file: Path, name: Path) -> None:
    """Give a file a second name, replacing what has it: a link, or a copy where there are none."""
    partial = name.with_name(f".{name.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(file, partial)
    except OSError:
        shutil.copyfile(file, partial)
    os.replace(partial, name)
