"""The scheduler of the learning rate, as Lightning takes it: by a schedule of ours, or torch's."""

from collections.abc import Callable
from typing import Any, Final

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from ae_lightning.core.errors import UsageError, at_least
from ae_lightning.schedules import Schedule
from ae_lightning.training.directions import refuse_contradiction

PER_STEP: Final = (CyclicLR, OneCycleLR)  # which count optimizer steps, as torch's pages say


def lr_scheduler(
    optimizer: Optimizer,
    schedule: Schedule | Callable[[Optimizer], LRScheduler] | None,
    factor: Callable[[int], float],
    validates_every: int | None = 1,
) -> dict[str, Any]:
    """Make a scheduler, and say when it steps.

    Args:
        schedule: one of ours, which `factor` follows, or what makes one of torch's. These step once
            per epoch, those of `PER_STEP` once per optimizer step.
        validates_every: epochs from one validation to the next, which a ReduceLROnPlateau of one of
            its metrics waits for.

    Raises:
        UsageError: if torch refuses the arguments, or they contradict what is known of a metric.
    """
    if isinstance(schedule, Schedule | None):
        return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}
    try:
        made = schedule(optimizer)
    except (ValueError, TypeError) as error:
        raise UsageError(f"model.lr_schedule cannot be made: {error}.") from error
    interval = "step" if isinstance(made, PER_STEP) else "epoch"
    for name in ("T_max", "step_size"):  # which torch divides by, unlooked at
        at_least(f"model.lr_schedule.{name}", getattr(made, name, 1), 1)
    found = {"scheduler": made, "interval": interval}
    if not isinstance(made, ReduceLROnPlateau):
        return found
    monitor = getattr(made, "monitor", "val/loss")
    refuse_contradiction(monitor, made.mode, type(made).__name__)
    every = validates_every or 1 if monitor.startswith("val/") else 1
    return found | {"monitor": monitor, "frequency": every}
