"""SIGTERM and Ctrl-C stop training between two batches, with a state to resume from to the bit."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import torch
import torch.distributed as dist
from lightning.pytorch import Callback, LightningModule, Trainer

from ae_lightning.core.distributed import rank_and_world
from ae_lightning.core.signals import raising_at_sigterm
from ae_lightning.training.checkpoint_writing import Checkpoints
from ae_lightning.training.private import replace_sigterm_handler

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(SystemExit):
    """A signal stopped training; the exit code is the shell's for it: 130 or 143."""

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signum = signum


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM raise `Interrupted` at once, as Ctrl-C does, until `StopOnSignal` takes over.

    Python would end at once and clean up nothing while, say, images are read.
    """
    with raising_at_sigterm(Interrupted) as handler:
        _early.append(handler)
        try:
            yield
        finally:
            _early.remove(handler)


_early: list[Any] = []  # handlers of `ended_by_sigterm`, which Lightning would call beside its own


class StopOnSignal(Callback):
    """Note a signal when it comes, and stop at the next batch, where a state can be saved.

    A second Ctrl-C stops training at once, unless a state is just being saved.

    Args:
        checkpoints: what saves the state; if None, nothing is saved.
    """

    def __init__(self, checkpoints: Checkpoints | None) -> None:
        self.checkpoints = checkpoints
        self.noted = 0  # the signal that this process has received
        self.agreed = 0  # the one that all processes act on
        self._former: dict[int, Any] = {}
        self._pid = os.getpid()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if signal.getsignal(signal.SIGTERM) in _early:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        replace_sigterm_handler(trainer, self._note)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replace Lightning's own handlers, which stop training without saving a state."""
        if not self._former and threading.current_thread() is threading.main_thread():
            self._former = {signum: signal.signal(signum, self._note) for signum in SIGNALS}

    on_sanity_check_start = on_train_start

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self._pid:  # a data loader's worker, which has inherited this handler
            if signum == signal.SIGTERM:
                os._exit(128 + signum)
            return
        if self.noted and signum == signal.SIGINT:
            if self.checkpoints is None or not self.checkpoints.saving:
                raise KeyboardInterrupt
            return
        self.noted = max(self.noted, signum)

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._agree(trainer)
        if self.agreed and self.checkpoints is not None:
            self.checkpoints.wanted = True
            self.checkpoints.note(trainer)

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._act()

    def on_validation_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        self._agree(trainer)
        if not self.agreed or trainer.global_step == trainer.max_steps:
            return  # after the last step no resume would return to this validation
        # If its state is gone, the validation runs to its end, where the next one is saved.
        if self.checkpoints is None or self.checkpoints.save_before_validation(trainer):
            raise Interrupted(self.agreed)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._agree(trainer)
        self._act()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._agree(trainer)
        self._act()
        for signum, handler in self._former.items():
            signal.signal(signum, handler)

    def _agree(self, trainer: Trainer) -> None:
        self.agreed = self.noted
        if rank_and_world()[1] > 1:
            signum = torch.tensor(self.noted, device=trainer.strategy.root_device)
            dist.all_reduce(signum, dist.ReduceOp.MAX)
            self.agreed = int(signum)
        if self.agreed:
            # Lightning would kill this process soon after one that it started has ended, even if
            # it is still drawing its report.
            getattr(trainer.strategy.launcher, "procs", []).clear()

    def _act(self) -> None:
        if self.agreed:  # by now `checkpoints` has saved a state
            raise Interrupted(self.agreed)
