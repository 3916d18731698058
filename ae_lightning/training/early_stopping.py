"""Decide whether an early-stopped run may continue, even if what stops it has changed since.

Lightning's EarlyStopping keeps the patience that it was saved with, whatever it is given.
"""

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, Timer

from ae_lightning.training.private import given_arguments

Patience = dict[EarlyStopping, int]


def patience(trainer: Trainer) -> Patience:
    """Return each EarlyStopping's given patience: in `setup`, before it loads its state."""
    return {c: c.patience for c in trainer.callbacks if isinstance(c, EarlyStopping)}  # type: ignore[attr-defined]


def stoppers(trainer: Trainer) -> list[str]:
    """Describe what may stop training before its end, each with its arguments."""
    found = []
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, EarlyStopping | Timer):
            each = ", ".join(f"{n}={value}" for n, value in given_arguments(callback).items())
            found.append(f"{type(callback).__name__}({each})")
    return found


def stays_stopped(trainer: Trainer, given: Patience, former: list[str]) -> bool:
    """Whether a run that stopped early is over.

    It continues if what may stop it has changed since and no EarlyStopping has run out of patience;
    a Timer checks its time itself.

    Args:
        given: the patience that each EarlyStopping has from here on.
        former: the `stoppers` of the run when it stopped.
    """
    for callback, steps in given.items():
        callback.patience = steps
    return former == stoppers(trainer) or any(c.wait_count >= c.patience for c in given)
