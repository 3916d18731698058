"""When checkpoints are saved: the best one, and the two newest states to resume from."""

import math
import warnings
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from ae_lightning.core.errors import SavingError, UsageError, nearest
from ae_lightning.core.files import share
from ae_lightning.training import accumulated_gradients, early_stopping, loop_state, run_directory
from ae_lightning.training.checkpoint_schema import RESUMING
from ae_lightning.training.loop_state import LoopState
from ae_lightning.training.metrics_csv import MetricsFile


class Checkpoints(Checkpoint):
    """Keep the best checkpoint, and the two newest states to resume from.

    A state is saved after every validation, and every n steps in between. If one cannot be saved,
    training goes on and tries again at the next such moment, and at its end.

    Args:
        monitor: the validation metric that the best checkpoint is chosen by.
        mode: whether the smallest value ("min") or the largest ("max") is best.
        every_n_steps: how many optimizer steps may be lost at most.

    Raises:
        UsageError: if validation does not log `monitor`.
        SavingError: if the last state could not be saved.
    """

    kept = 2

    def __init__(
        self,
        monitor: str = "val/loss",
        mode: Literal["min", "max"] = "min",
        every_n_steps: int = 1000,
    ) -> None:
        self.monitor, self.mode, self.every_n_steps = monitor, mode, every_n_steps
        self.best: dict[str, float] = {}  # the best validation's metrics, its step and its epoch
        self.latest: dict[str, float] = {}
        self.wanted = False  # whether to save after this batch, due or not
        self.saving = False
        self.last_model_path = ""
        self._position: LoopState | None = None  # of the state to save at the next hook
        self._saved = (0, 0)  # the step and the batch that the newest state is of
        self._error: OSError | None = None  # why the newest state could not be saved
        self._resumed: dict[str, Any] = {}
        self._patience: early_stopping.Patience = {}

    # ------------------------------------------------------------------ when to save

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._patience = early_stopping.patience(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved = self._place(trainer, loop_state.after_batch(trainer))
        if trainer.is_global_zero:
            run = Path(trainer.default_root_dir)
            for cut_short in (run / run_directory.CHECKPOINTS).glob(".*.partial"):
                cut_short.unlink()
            run_directory.set_aside(run, trainer.global_step)
        resumed, self._resumed = self._resumed, {}
        if not resumed:
            return
        loop_state.settle(trainer)
        stays = early_stopping.stays_stopped(trainer, self._patience, resumed["stoppers"])
        trainer.should_stop |= resumed["should_stop"] and stays
        accumulated_gradients.restore(pl_module, resumed["gradients"])

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        # What this step logs is written only after this hook, so the state is saved in the next
        # one, unless that begins a validation or ends the epoch, which save states themselves.
        step = trainer.global_step
        due = step % self.every_n_steps == 0 and step != self._saved[0]
        self._position = loop_state.after_batch(trainer) if due or self.wanted else None

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self.save(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            loop_state.settle_validation(trainer)
            self._position = loop_state.before_validation(trainer)

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
        better, former = self._better(metrics[self.monitor]), self.best
        if better:
            self.best = self.latest
        self._position = loop_state.after_batch(trainer)
        self.save(trainer, better)
        if self._error is not None:
            self.best = former  # as best.ckpt still is

    def _better(self, value: float) -> bool:
        if not self.best:
            return math.isfinite(value)
        former = self.best[self.monitor]
        return value < former if self.mode == "min" else value > former

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._position = loop_state.after_epoch(trainer)
        if self._place(trainer, self._position) == self._saved:
            self._position = None  # the epoch's last validation has saved it

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._failed(trainer) and self._position is None:
            self._position = loop_state.after_epoch(trainer)
        self.save(trainer)
        if self._failed(trainer):
            raise SavingError(
                "the last state could not be saved: free some disk space, then continue from the "
                "former one with --resume."
            )

    def _failed(self, trainer: Trainer) -> bool:
        """Whether the newest state could not be saved, which rank zero alone knows."""
        failed = self._error is not None
        return trainer.strategy.reduce_boolean_decision(failed, all=False)

    # ---------------------------------------------------------------------- saving

    @staticmethod
    def _place(trainer: Trainer, position: LoopState) -> tuple[int, int]:
        return trainer.global_step, loop_state.batches_done(position)

    def save(self, trainer: Trainer, best: bool = False) -> None:
        """Save a state of the position that was noted, if any."""
        if self._position is None or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        folder = Path(trainer.default_root_dir, run_directory.CHECKPOINTS)
        state = folder / run_directory.state_name(trainer.global_step)
        self.saving = True
        try:
            trainer.save_checkpoint(state, weights_only=False)
            self._saved = self._place(trainer, self._position)
            self.last_model_path = str(state)  # Lightning's own callback calls it so
            if trainer.is_global_zero:
                if best:
                    share(state, folder / run_directory.BEST)
                for old in run_directory.states(folder.parent)[self.kept :]:
                    old.unlink()
        except OSError as error:
            self._error = error
            trainer.strategy.barrier("Trainer.save_checkpoint")  # the other ranks wait in it
            onwards = "" if self.wanted else ", and training goes on and tries again"
            warnings.warn(
                f"{state} cannot be written ({error.strerror}): the former states stay{onwards}.",
                stacklevel=2,
            )
        else:
            self._error = None
        finally:
            self._position, self.saving = None, False

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        position = self._position
        if position is None:  # someone else's checkpoint
            return
        checkpoint["loops"]["fit_loop"] = position
        metrics = [m for m in trainer.loggers if isinstance(m, MetricsFile)]
        unfinished = loop_state.within_step(trainer, position)
        checkpoint[RESUMING] = {
            "metrics_rows": metrics[0].rows if metrics else 0,
            "should_stop": trainer.should_stop,
            "stoppers": early_stopping.stoppers(trainer),
            "gradients": accumulated_gradients.collect(pl_module) if unfinished else {},
        }

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._resumed = checkpoint.get(RESUMING, {})
        former = checkpoint["callbacks"].get(self.state_key, {})
        if not trainer.is_global_zero or former.get("monitor") != self.monitor:
            return
        state, best_step = Path(str(trainer.ckpt_path)), former["best"].get("step")
        if best_step == checkpoint["global_step"] and state.name != run_directory.BEST:
            # A crash may have struck between saving and linking.
            share(state, state.with_name(run_directory.BEST))

    def state_dict(self) -> dict[str, Any]:
        return {"monitor": self.monitor, "best": self.best, "latest": self.latest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.latest = state["latest"]
        if state["monitor"] == self.monitor:
            self.best = state["best"]
