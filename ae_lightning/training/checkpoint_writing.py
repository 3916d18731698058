"""When checkpoints are saved: the best one, and the two newest states to resume from."""

import math
import warnings
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from ae_lightning.core.errors import SavingError, UsageError, nearest
from ae_lightning.core.files import share
from ae_lightning.training import (
    accumulated_gradients,
    early_stopping,
    given_checkpoints,
    loop_state,
    run_directory,
)
from ae_lightning.training.checkpoint_io import write_last
from ae_lightning.training.checkpoint_schema import RESUMING
from ae_lightning.training.directions import known_mode, refuse_contradiction
from ae_lightning.training.evaluated_weights import EvaluatedWeights
from ae_lightning.training.fingerprint import of_callbacks
from ae_lightning.training.loop_state import LoopState
from ae_lightning.training.private import restore_averaging, restore_logged
from ae_lightning.training.resuming import at_hand


class Checkpoints(Checkpoint):
    """Keep the best checkpoint, and the two newest states to resume from.

    A state is saved after every validation, at every epoch's end, and every n steps in between:
    where training goes on, once every callback has seen what came before, and before any acts on
    what comes next. If one cannot be saved, training goes on and tries again at the next such
    moment, and at its end.

    Args:
        monitor: the validation metric that the best checkpoint is chosen by. val/objective is the
            loss at the weights that schedules end with, so that epochs compare.
        mode: whether the smallest value ("min") or the largest ("max") is best; if None, as is
            known of the metric.
        every_n_steps: how many optimizer steps may be lost at most.

    Raises:
        UsageError: if validation does not log `monitor`, or `mode` contradicts it, or is needed.
        SavingError: if the last state could not be saved.
    """

    kept = 2

    def __init__(
        self,
        monitor: str = "val/objective",
        mode: Literal["min", "max"] | None = None,
        every_n_steps: int = 1000,
    ) -> None:
        refuse_contradiction(monitor, mode, "checkpoints")
        self.monitor, self.mode = monitor, mode or known_mode(monitor)
        self.every_n_steps = every_n_steps
        self.best: dict[str, float] = {}  # the best validation's metrics, its step and its epoch
        self.latest: dict[str, float] = {}
        self.wanted = False  # whether to save after this batch, due or not
        self.saving = False
        self.last_model_path = ""
        self._position: LoopState | None = None  # of the state to save at the next hook
        self._former: dict[str, float] | None = None  # the former best, if that state is better
        self._saved_step = 0  # that of the newest state
        self._saved = (0, 0)  # the step and the batch that the newest state is of
        self._own: list[str] = []  # the states that this run has saved, and not yet removed
        self._error: OSError | None = None  # why the newest state could not be saved
        self._resumed: dict[str, Any] = {}
        self._states: dict[str, Any] = {}  # those of all callbacks, as they were resumed
        self._patience: early_stopping.Patience = {}
        self._evaluated = EvaluatedWeights()
        # Of the validation under way: where it began, what a state of there holds, and callbacks.
        self._begun: tuple[LoopState, dict[str, Any], Any] | None = None
        self._at_start: dict[str, Any] | None = None  # the second of these, if it is to be saved
        self._best_first = False  # whether the best checkpoint is being written before its state
        self._apart = False  # whether it holds other weights than this
        self._lost = False  # whether the last state could not be saved

    # ------------------------------------------------------------------ when to save

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Lightning calls this one last. It must save before any other callback acts.
        others = [c for c in trainer.callbacks if c is not self]  # type: ignore[attr-defined]
        trainer.callbacks = [self, *others]  # type: ignore[attr-defined]
        given_checkpoints.refuse_own_names(trainer)
        self._patience = early_stopping.patience(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved_step = trainer.global_step
        if trainer.is_global_zero:
            run_directory.settle(Path(trainer.default_root_dir), trainer.global_step)
        resumed, self._resumed = self._resumed, {}
        if not resumed:
            return
        loop_state.settle(trainer)
        stays = early_stopping.stays_stopped(trainer, self._patience, resumed["stoppers"])
        trainer.should_stop |= resumed["should_stop"] and stays
        accumulated_gradients.restore(pl_module, resumed["gradients"])
        restore_logged(trainer, resumed["logged"])
        restore_averaging(trainer, pl_module)
        kept, file = resumed.get("given", {}), Path(str(trainer.ckpt_path))
        given_checkpoints.restore(trainer, self._states, kept, file)
        if "weights" in resumed:  # best.ckpt has those that were evaluated
            trainer.strategy.load_model_state_dict({"state_dict": resumed["weights"]}, strict=True)

    def note(self, trainer: Trainer) -> None:
        """Have a state of this place saved where training goes on."""
        self._position = loop_state.after_batch(trainer)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        step = trainer.global_step
        if step % self.every_n_steps == 0 and step != self._saved_step:
            self.note(trainer)

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self.save(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._validates(trainer):
            loop_state.settle_validation(trainer)
            position = loop_state.before_validation(trainer)
            self._begun = position, at_hand(trainer), of_callbacks(trainer)
            self._evaluated.begin(trainer)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._validates(trainer):
            self._evaluated.end(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = {k: float(v) for k, v in trainer.callback_metrics.items() if k[:4] == "val/"}
        if self.monitor not in metrics:
            raise UsageError(
                f"checkpoints.monitor is {self.monitor}, which validation does not log: "
                + nearest(self.monitor, metrics)
            )
        if self.mode is None:
            raise UsageError(
                f"checkpoints.monitor is {self.monitor}: say whether less or more of it is better, "
                "by --checkpoints.mode min or max."
            )
        if not self._validates(trainer):
            return
        place = {"step": float(trainer.global_step), "epoch": float(trainer.current_epoch)}
        self.latest, self._begun = {**metrics, **place}, None
        if self._better(metrics[self.monitor]):
            self._former, self.best = self.best, self.latest
        else:
            self._evaluated.forget()
        self.note(trainer)

    @staticmethod
    def _validates(trainer: Trainer) -> bool:
        return trainer.state.fn == "fit" and not trainer.sanity_checking

    def _better(self, value: float) -> bool:
        if not self.best:
            return math.isfinite(value)
        former = self.best[self.monitor]
        return value < former if self.mode == "min" else value > former

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A stop in the midst of an epoch may be undone, and the epoch then goes on.
        if self._position is None or loop_state.epoch_is_done(trainer):
            self._position = loop_state.after_epoch(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._failed(trainer) and self._position is None:
            self._position = loop_state.after_epoch(trainer)
        self.save(trainer)
        self._lost = self._failed(trainer)
        self._evaluated.finish(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._evaluated.keep_final(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Raise an error only here, so that what other callbacks do at the end is done."""
        if stage == "fit" and self._lost:
            raise SavingError(
                "the last state could not be saved: free some disk space, then continue from the "
                "former one with --resume."
            )

    def _failed(self, trainer: Trainer) -> bool:
        """Whether the newest state could not be saved, which rank zero alone knows."""
        failed = self._error is not None
        return trainer.strategy.reduce_boolean_decision(failed, all=False)

    # ---------------------------------------------------------------------- saving

    def save(self, trainer: Trainer) -> None:
        """Save a state of the position that was noted, if any."""
        if self._position is None or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        folder = Path(trainer.default_root_dir, run_directory.CHECKPOINTS)
        state = folder / run_directory.state_name(trainer.global_step)
        self.saving = True
        try:
            if self._former is None:
                write_last(self, trainer, state)
            else:
                self._write_better(trainer, state, folder / run_directory.BEST)
            self._saved_step = trainer.global_step
            self.last_model_path = str(state)  # Lightning's own callback calls it so
            if trainer.is_global_zero:
                self._own.append(state.name)
                self._own = run_directory.rotate(folder.parent, self._own, self.kept)
        except OSError as error:
            self._error = error
            trainer.strategy.barrier("Trainer.save_checkpoint")  # the other ranks wait in it
            onwards = "" if self.wanted else ", and training goes on and tries again"
            warnings.warn(
                f"{state} cannot be written ({error.strerror}): the former states stay{onwards}.",
                stacklevel=2,
            )
            if self._former is not None:
                self.best = self._former  # as best.ckpt still is
        else:
            self._error = None
        finally:
            self._position = self._former = self._at_start = None
            self.saving = self._best_first = self._apart = False
            self._evaluated.forget()

    def _write_better(self, trainer: Trainer, state: Path, best: Path) -> None:
        """Save a state, and as the best checkpoint the weights that validation has evaluated."""
        if self._evaluated.exchanged:
            self._best_first = True
            write_last(self, trainer, best)  # first: no state names a best that is not there
            self._best_first = False
        if self._apart or not self._evaluated.exchanged:
            write_last(self, trainer, state)
        if trainer.is_global_zero and not self._apart:
            share(*((best, state) if self._evaluated.exchanged else (state, best)))

    def save_before_validation(self, trainer: Trainer) -> bool:
        """Save the state that the validation under way began with, unless it is gone.

        Returns:
            whether it was still there: no callback has exchanged weights, or changed its own state.
        """
        assert self._begun is not None
        position, at_start, callbacks = self._begun
        there = self._evaluated.not_begun(trainer) and callbacks == of_callbacks(trainer)
        if there := trainer.strategy.reduce_boolean_decision(there):
            self._position, self._at_start = position, at_start
            self.save(trainer)
        return there

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        position = self._position
        if position is None or not self.saving:  # someone else's checkpoint
            return
        checkpoint["loops"]["fit_loop"] = position
        checkpoint["epoch"] = position["epoch_progress"]["current"]["ready"] - 1  # not the next one
        unfinished = loop_state.within_step(trainer, position)
        gradients = accumulated_gradients.collect(pl_module) if unfinished else {}
        resuming = (self._at_start or at_hand(trainer)) | {"gradients": gradients}
        resuming["states"] = [*self._own, run_directory.state_name(trainer.global_step)]
        missing = self._evaluated.missing(trainer, checkpoint["state_dict"])
        if self._best_first and missing:
            self._apart = True
            resuming["weights"] = trainer.strategy.lightning_module_state_dict()
            checkpoint["state_dict"] = self._evaluated.weights
        checkpoint[RESUMING] = resuming | {"best_apart": self._apart}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._resumed = checkpoint.get(RESUMING, {})
        self._own = list(self._resumed.get("states", []))
        self._states = checkpoint["callbacks"]
        former = self._states.get(self.state_key, {})
        if not trainer.is_global_zero or former.get("monitor") != self.monitor:
            return
        state, best_step = Path(str(trainer.ckpt_path)), former["best"].get("step")
        linked = state.name == run_directory.BEST or self._resumed.get("best_apart", False)
        if best_step == checkpoint["global_step"] and not linked:
            # A crash may have struck between saving and linking.
            share(state, state.with_name(run_directory.BEST))

    def state_dict(self) -> dict[str, Any]:
        return {"monitor": self.monitor, "best": self.best, "latest": self.latest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.latest = state["latest"]
        if state["monitor"] == self.monitor:
            self.best = state["best"]
