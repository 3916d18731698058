"""The clock of a training: where it stands, and how many steps it will take in all."""

import math
from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_info

from ae_lightning.core.errors import UsageError
from ae_lightning.schedules import Clock, Constant, OneCycle, Schedule
from ae_lightning.training.accumulated_gradients import accumulation_schedulers


class Timekeeper:
    """Read the clock off a trainer, also if a resumed run takes another number of steps."""

    def __init__(self) -> None:
        self.total_steps = 0  # 0 if the training has no known end
        self._lead = 0  # see `Clock`
        self._former = 0  # steps per epoch before the run was resumed, until that is settled
        self._spans = False  # whether a schedule spans the whole training
        self.lr_schedule: Schedule = Constant()

    def begin(self, trainer: Trainer, lr_schedule: object, others: Sequence[Schedule]) -> None:
        """Learn how many steps a training will take, in `setup`.

        Args:
            lr_schedule: of the learning rate. If None, it is one cycle over the whole training,
                or constant if that has no known end; constant too beside a scheduler of torch's.
            others: the other schedules that follow this clock.

        Raises:
            UsageError: if one of them spans a training that has no known end.
        """
        self.total_steps = planned_steps(trainer)
        if lr_schedule is None and not self.total_steps:
            rank_zero_info("the learning rate is constant, since this training has no known end.")
        cycle = lr_schedule is None and self.total_steps > 0
        own = lr_schedule if isinstance(lr_schedule, Schedule) else None
        self.lr_schedule = own or (OneCycle() if cycle else Constant())
        self._spans = any(s.spans_training for s in (self.lr_schedule, *others))
        if self._spans and not self.total_steps:
            raise UsageError(
                "a schedule over the whole training needs max_epochs or max_steps: "
                "set one, or give the schedule its own steps or epochs."
            )

    def start(self, trainer: Trainer, former: Clock | None) -> Clock:
        """The clock that training starts from: that of the last step if it is resumed.

        A validation may come before the next step, and goes by the clock of the last one.
        """
        if former is None:
            return self.now(trainer)
        if former.total_steps != self.total_steps and self._spans:
            rank_zero_info(
                "a schedule over the whole training now spans "
                f"{self.total_steps} steps instead of {former.total_steps}."
            )
        return former._replace(total_steps=self.total_steps)

    def now(self, trainer: Trainer) -> Clock:
        """The clock before the next step."""
        return Clock(trainer.global_step, trainer.current_epoch, self.total_steps, self._lead)

    def lr_factor(self, trainer: Trainer, step: int) -> float:
        """What multiplies the learning rate at this step, which is the next one."""
        now = self.now(trainer)
        return self.lr_schedule(now._replace(step=step, epoch=now.epoch + trainer.is_last_batch))

    def rescale(self, trainer: Trainer, batch_idx: int) -> None:
        """Rescale schedule progress if the number of steps per epoch has changed."""
        if self._former == 0:  # at every batch but the first of a resumed run
            return
        steps, former, self._former = steps_per_epoch(trainer), self._former, 0
        if former == steps or trainer.max_steps == self.total_steps:
            return
        done = batch_idx // trainer.accumulate_grad_batches
        self._lead = trainer.current_epoch * steps + done - trainer.global_step

    def resume(self, clock: Clock, former_steps_per_epoch: int) -> None:
        """Continue from the clock of a checkpoint."""
        self._lead, self._former = clock.lead, former_steps_per_epoch


def planned_steps(trainer: Any) -> int:
    """How many optimizer steps a training takes; 0 if it has no known end."""
    total = trainer.estimated_stepping_batches  # as if every epoch accumulated as the first does
    if total == math.inf:
        return 0
    batches, epochs = trainer.num_training_batches, range(trainer.max_epochs)
    for factors in accumulation_schedulers(trainer):
        if trainer.max_epochs > 0 and batches < math.inf:
            steps = sum(-(-int(batches) // factors.get_accumulate_grad_batches(e)) for e in epochs)
            total = steps if trainer.max_steps == -1 else min(steps, trainer.max_steps)
    return int(total)


def steps_per_epoch(trainer: Any) -> int:
    """How many optimizer steps an epoch takes; 0 if that is not known, or differs by design."""
    if accumulation_schedulers(trainer):
        return 0
    batches = trainer.num_training_batches
    return -(-int(batches) // trainer.accumulate_grad_batches) if batches < math.inf else 0
