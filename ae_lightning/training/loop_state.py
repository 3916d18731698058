"""Where training stands, as the record of Lightning's loops that it goes on from to the bit.

Lightning goes on exactly from what it records after a batch, after a validation, and after an
epoch that had none; but not, left alone, from before a validation, nor from an epoch's end where
`max_steps` is set: the one validation is skipped, and the one epoch lost.
"""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Trainer

Position = dict[str, Any]


def after_batch(trainer: Trainer) -> Position:
    """Stand after a training batch that neither a validation nor an epoch's end follows."""
    return trainer.fit_loop.state_dict()


def before_validation(trainer: Trainer) -> Position:
    """Stand before a validation's first batch, also where it has come further."""
    position = trainer.fit_loop.state_dict()
    progress = position["epoch_loop.val_loop.batch_progress"]
    progress["current"] = dict.fromkeys(progress["current"], 0)
    # One batch begun and not done is how a validation looks that is to be run on return.
    begun = progress["total"]["completed"] + 1
    progress["total"] |= {"ready": begun, "started": begun, "processed": begun - 1}
    progress["is_last_batch"] = False
    return position


def after_epoch(trainer: Trainer) -> Position:
    """Stand at an epoch's end, in `on_train_epoch_end`, or where training ends in the midst."""
    position = trainer.fit_loop.state_dict()
    batches = position["epoch_loop.batch_progress"]
    done = batches["is_last_batch"] or batches["current"]["ready"] == trainer.num_training_batches
    for count in position["epoch_progress"].values():
        count["processed"] = count["completed"] = count["ready"] - (not done)
    return position


def settle(trainer: Trainer) -> None:
    """Begin the next epoch where the last was done, in `on_train_start` of a resumed run."""
    epochs = trainer.fit_loop.epoch_progress.total
    if epochs.completed == epochs.ready > 0:
        trainer.fit_loop.epoch_loop.restarting = False


def settle_validation(trainer: Trainer) -> None:
    """Count a validation's batches as if none had been begun, in `on_validation_start`."""
    count: Any = trainer.fit_loop.epoch_loop.val_loop.batch_progress.total
    count.ready = count.started = count.processed = count.completed


def batches_done(position: Position) -> int:
    """How many batches of all epochs are trained."""
    return int(position["epoch_loop.batch_progress"]["total"]["processed"])


def within_step(trainer: Trainer, position: Position) -> bool:
    """Whether gradients have accumulated for a step that is not taken yet."""
    progress = position["epoch_loop.batch_progress"]
    steps = progress["current"]["processed"] % trainer.accumulate_grad_batches == 0
    return not (steps or progress["is_last_batch"])
