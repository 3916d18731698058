"""Why a run ended, and whether one that stopped early may continue.

Lightning's EarlyStopping keeps the patience that it was saved with, whatever it is given.
"""

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, Timer
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

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


def stopped_early(trainer: Trainer) -> str:
    """Say why training has ended before its end, and what lets it continue; "" if it has not."""
    found = []
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Timer) and (left := callback.time_remaining()) is not None:
            if left <= 0:
                found.append("its time is up: raise --trainer.max_time, or the duration of Timer")
        elif isinstance(callback, EarlyStopping) and trainer.should_stop:
            found += reason(callback)
    return "; ".join(found)


def limits(trainer: Trainer) -> str:
    """Name the options that have ended training, all of which must be raised to train on."""
    found = []
    if 0 <= trainer.max_steps <= trainer.global_step:
        found.append("--trainer.max_steps")
    if trainer.max_epochs is not None and 0 <= trainer.max_epochs <= trainer.current_epoch:
        found.append("--trainer.max_epochs")
    return " and ".join(found)


def reason(stopper: EarlyStopping) -> list[str]:
    """Say why an EarlyStopping has stopped training, if it has, and what lets it continue."""
    name, monitor = type(stopper).__name__, stopper.monitor
    best, tries = f"{float(stopper.best_score):.4g}", stopper.wait_count
    said = {
        EarlyStoppingReason.PATIENCE_EXHAUSTED: f"{monitor} has not improved on {best} in {tries} "
        f"validations: raise the patience of {name}",
        EarlyStoppingReason.STOPPING_THRESHOLD: f"{monitor} has reached "
        f"{stopper.stopping_threshold}: change the stopping_threshold of {name}",
        EarlyStoppingReason.DIVERGENCE_THRESHOLD: f"{monitor} is worse than "
        f"{stopper.divergence_threshold}: change the divergence_threshold of {name}",
        EarlyStoppingReason.NON_FINITE_METRIC: f"{monitor} is not finite",
    }
    return [said[stopper.stopping_reason]] if stopper.stopping_reason in said else []
