"""Checkpoints that survive a crash: the best one, and the two newest states to resume from."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor
from torch.distributed.tensor import DTensor

from ae_lightning.core.distributed import rank_and_world
from ae_lightning.core.errors import SavingError, UsageError, nearest
from ae_lightning.training import early_stopping, loop_state, run_directory
from ae_lightning.training.atomic import replacing, share
from ae_lightning.training.loop_state import Position
from ae_lightning.training.metrics_csv import MetricsFile
from ae_lightning.training.sharding import full, sharded_like

RESUMING = "resuming"  # where a checkpoint keeps what resuming needs beside Lightning's own


class DurableCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint whole and sealed, or leave the former one; read it, unpickling nothing."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        with replacing(Path(path), sealed=True) as file:
            torch.save(checkpoint, file)  # type: ignore[arg-type]

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return torch.load(path, "cpu", weights_only=True)  # type: ignore[no-any-return]


class Checkpoints(Checkpoint):
    """Keep the best checkpoint, and the two newest states to resume from.

    A state is saved after every validation, and every n steps of an epoch between them. Where one
    cannot be written, training goes on and tries again at the next such moment, and at its end.

    Args:
        monitor: the metric of validation that the best checkpoint is chosen by.
        mode: whether the least ("min") or the largest ("max") is best.
        every_n_steps: how many optimizer steps may be lost at most.

    Raises:
        UsageError: where validation does not log `monitor`.
        SavingError: where the last state could not be written.
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
        self.wanted = False  # whether a state is wanted after this batch, due or not
        self.saving = False
        self.last_model_path = ""
        self._position: Position | None = None  # of the state to save at the next chance
        self._saved = (0, 0)  # the step and the batch of the newest state
        self._error: OSError | None = None  # why the newest state could not be written
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
        for name, parameter in pl_module.named_parameters():
            if name in resumed["gradients"]:
                parameter.grad = own_gradient(resumed["gradients"][name], parameter)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        # What this step logs is written only after this hook, so the state is saved in the next:
        # unless that begins a validation or ends the epoch, which save states of their own.
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
            self.best = former  # which best.ckpt still holds

    def _better(self, value: float) -> bool:
        if not self.best:
            return math.isfinite(value)
        former = self.best[self.monitor]
        return value < former if self.mode == "min" else value > former

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._position = loop_state.after_epoch(trainer)
        if self._place(trainer, self._position) == self._saved:
            self._position = None  # the validation at its end has saved it

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._failed(trainer) and self._position is None:
            self._position = loop_state.after_epoch(trainer)
        self.save(trainer)
        if self._failed(trainer):
            raise SavingError(
                "the last state could not be written: free some room on the disk, and go on from "
                "the former one by --resume."
            )

    def _failed(self, trainer: Trainer) -> bool:
        """Whether the newest state could not be written, which rank zero knows."""
        failed = self._error is not None
        return trainer.strategy.reduce_boolean_decision(failed, all=False)

    # ---------------------------------------------------------------------- saving

    @staticmethod
    def _place(trainer: Trainer, position: Position) -> tuple[int, int]:
        return trainer.global_step, loop_state.batches_done(position)

    def save(self, trainer: Trainer, best: bool = False) -> None:
        """Save the state of the place that was remembered, if any."""
        if self._position is None or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        folder = Path(trainer.default_root_dir, run_directory.CHECKPOINTS)
        state = folder / run_directory.state_name(trainer.global_step)
        self.saving = True
        try:
            trainer.save_checkpoint(state, weights_only=False)
            self._saved = self._place(trainer, self._position)
            self.last_model_path = str(state)  # the name that Lightning's callback has for it
            if trainer.is_global_zero:
                if best:
                    share(state, folder / run_directory.BEST)
                for old in run_directory.states(folder.parent)[self.kept :]:
                    old.unlink()
        except OSError as error:
            self._error = error
            trainer.strategy.barrier("Trainer.save_checkpoint")  # where the other ranks wait
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
        checkpoint[RESUMING] = {
            "metrics_rows": metrics[0].rows if metrics else 0,
            "should_stop": trainer.should_stop,
            "stoppers": early_stopping.stoppers(trainer),
            "gradients": gradients(pl_module) if loop_state.within_step(trainer, position) else {},
        }

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._resumed = checkpoint.get(RESUMING, {})
        self._share_again(trainer, checkpoint)

    def _share_again(self, trainer: Trainer, checkpoint: dict[str, Any]) -> None:
        """Make the state that a run goes on from its best where a crash came in between."""
        former = checkpoint["callbacks"].get(self.state_key, {})
        if not trainer.is_global_zero or former.get("monitor") != self.monitor:
            return
        state, best_step = Path(str(trainer.ckpt_path)), former["best"].get("step")
        if best_step == checkpoint["global_step"] and state.name != run_directory.BEST:
            share(state, state.with_name(run_directory.BEST))

    def state_dict(self) -> dict[str, Any]:
        return {"monitor": self.monitor, "best": self.best, "latest": self.latest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.latest = state["latest"]
        if state["monitor"] == self.monitor:
            self.best = state["best"]


def gradients(model: LightningModule) -> dict[str, Tensor]:
    """What has accumulated for the next step: each rank's own (W, …), or (1, …) where sharded."""
    rank, world = rank_and_world()
    found = {}
    for name, p in model.named_parameters():
        if p.grad is None:
            continue
        each = [full(p.grad)]
        if world > 1 and not isinstance(p.grad, DTensor):
            each = [torch.empty_like(p.grad) for _ in range(world)]
            dist.all_gather(each, p.grad.contiguous())
        if rank == 0:  # which alone writes
            found[name] = torch.stack(each).cpu()
    return found


def own_gradient(each: Tensor, parameter: Tensor) -> Tensor:
    """The gradient (…) to go on from: this rank's of all ranks' (W, …), or the mean of others'."""
    rank, world = rank_and_world()
    same = len(each) == world and not isinstance(parameter, DTensor)
    return sharded_like(each[rank] if same else each.mean(0), parameter)
