"""The scheduler of the learning rate, as Lightning takes it: by a schedule of ours, or torch's."""

from collections.abc import Callable
from typing import Any, Final

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LambdaLR, LRScheduler, OneCycleLR

from ae_lightning.core.errors import UsageError
from ae_lightning.schedules import Schedule

PER_STEP: Final = (CyclicLR, OneCycleLR)  # which count optimizer steps, as torch's pages say


def lr_scheduler(
    optimizer: Optimizer,
    schedule: Schedule | Callable[[Optimizer], LRScheduler] | None,
    factor: Callable[[int], float],
) -> dict[str, Any]:
    """Make a scheduler, and say when it steps.

    Args:
        schedule: one of ours, which `factor` follows, or what makes one of torch's. These step once
            per epoch, those of `PER_STEP` once per optimizer step.

    Raises:
        UsageError: if torch refuses the arguments.
    """
    if isinstance(schedule, Schedule | None):
        return {"scheduler": LambdaLR(optimizer, factor), "interval": "step"}
    try:
        made = schedule(optimizer)
    except (ValueError, TypeError) as error:
        raise UsageError(f"model.lr_schedule cannot be made: {error}.") from error
    interval = "step" if isinstance(made, PER_STEP) else "epoch"
    monitor = getattr(made, "monitor", "val/loss")  # of a ReduceLROnPlateau
    return {"scheduler": made, "interval": interval, "monitor": monitor}
