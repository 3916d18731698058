"""The state of Lightning's loops from which training resumes to the bit.

Lightning resumes exactly from what it records after a batch, also if a validation follows, which it
then takes as done, and after an epoch. Left alone, it does not from before a validation, nor from
an epoch's end if `max_steps` is set: it loses an epoch.
"""

from typing import Any

from lightning.pytorch import Trainer

LoopState = dict[str, Any]


def after_batch(trainer: Trainer) -> LoopState:
    """Return the state after a batch, and after the validation that may have followed it."""
    position = trainer.fit_loop.state_dict()
    for count in (batches := position["epoch_loop.batch_progress"])["total"], batches["current"]:
        # As in `on_train_batch_end`; from any later, Lightning repeats what follows a batch.
        count["completed"] = count["processed"] - 1
    return position


def before_validation(trainer: Trainer) -> LoopState:
    """Return the state before a validation's first batch: in `on_validation_start`."""
    position = trainer.fit_loop.state_dict()
    progress = position["epoch_loop.val_loop.batch_progress"]
    progress["current"] = dict.fromkeys(progress["current"], 0)
    # One batch begun and not done makes Lightning run the validation on its return.
    begun = progress["total"]["completed"] + 1
    progress["total"] |= {"ready": begun, "started": begun, "processed": begun - 1}
    progress["is_last_batch"] = False
    return position


def epoch_is_done(trainer: Trainer) -> bool:
    """Whether an epoch ends with its last batch, and not because training is to stop."""
    batches = trainer.fit_loop.epoch_loop.batch_progress
    return batches.is_last_batch or batches.current.ready == trainer.num_training_batches


def after_epoch(trainer: Trainer) -> LoopState:
    """Return the state at an epoch's end: in `on_train_epoch_end`, or where training ends."""
    position = trainer.fit_loop.state_dict()
    for count in position["epoch_progress"].values():
        count["processed"] = count["completed"] = count["ready"] - (not epoch_is_done(trainer))
    return position


def settle(trainer: Trainer) -> None:
    """Begin the next epoch if the last one was done; in `on_train_start` of a resumed run."""
    epochs = trainer.fit_loop.epoch_progress.total
    # Else Lightning would skip ReduceLROnPlateau once, since it restores no metrics by itself.
    trainer.fit_loop.restarting = False
    trainer.fit_loop.epoch_loop.restarting = not epochs.completed == epochs.ready > 0


def settle_validation(trainer: Trainer) -> None:
    """Count a validation's batches as if none had been begun; in `on_validation_start`."""
    count: Any = trainer.fit_loop.epoch_loop.val_loop.batch_progress.total
    count.ready = count.started = count.processed = count.completed


def within_step(trainer: Trainer, position: LoopState) -> bool:
    """Whether gradients have accumulated for an optimizer step that is yet to come."""
    progress = position["epoch_loop.batch_progress"]
    steps = progress["current"]["processed"] % trainer.accumulate_grad_batches == 0
    return not (steps or progress["is_last_batch"])
