"""Whether a run that stopped early is to stay so, also where what stops it has been changed since.

Lightning's EarlyStopping goes on with the patience that it was saved with, whatever it is given.
"""

from __future__ import annotations

import inspect

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, Timer

Patience = dict[EarlyStopping, int]


def patience(trainer: Trainer) -> Patience:
    """The patience that each EarlyStopping is given, in `setup`, before it takes up its state."""
    return {c: c.patience for c in trainer.callbacks if isinstance(c, EarlyStopping)}  # type: ignore[attr-defined]


def stoppers(trainer: Trainer) -> list[str]:
    """What may stop training before its end, each with its arguments."""
    found = []
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, EarlyStopping | Timer):
            names = list(inspect.signature(type(callback)).parameters)
            values = {n: getattr(callback, n, getattr(callback, f"_{n}", None)) for n in names}
            each = ", ".join(f"{name}={value}" for name, value in values.items())
            found.append(f"{type(callback).__name__}({each})")
    return found


def stays_stopped(trainer: Trainer, given: Patience, former: list[str]) -> bool:
    """Whether a run that has stopped early is to train no more.

    It goes on where what may stop it has changed since, and none of it has run out of patience; a
    timer looks at its time by itself.

    Args:
        given: the patience that each EarlyStopping is to have from here on.
        former: what might stop it then.
    """
    for callback, steps in given.items():
        callback.patience = steps
    return former == stoppers(trainer) or any(c.wait_count >= c.patience for c in given)
