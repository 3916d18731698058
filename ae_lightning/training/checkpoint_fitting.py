"""Whether what a checkpoint holds fits the training that it is loaded into."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from ae_lightning.core.errors import UsageError, printable
from ae_lightning.training.checkpoint_optimizers import check_optimizers
from ae_lightning.training.checkpoint_schema import RESUMING
from ae_lightning.training.checkpoint_weights import check_weights
from ae_lightning.training.likeness import complete, difference, differs

NEEDED = ("callbacks", "optimizer_states", "lr_schedulers")  # to resume a training
AVERAGED = "current_model_state"  # Lightning's WeightAveraging keeps the weights themselves here


def check_states(checkpoint: Mapping[str, Any], trainer: Trainer, source: object) -> None:
    """Refuse a checkpoint whose states a training cannot take over, apart from its optimizers'.

    Raises:
        UsageError: naming the first place that is wrong.
    """
    for key in NEEDED:
        if key not in checkpoint:
            raise UsageError(f"{source} has no {key}: a training cannot be resumed from it.")
    model: Any = trainer.lightning_module
    weights = model.state_dict()
    if AVERAGED in checkpoint:
        check_weights(model, checkpoint[AVERAGED], f"{source}: {AVERAGED}")
    resuming = checkpoint.get(RESUMING, {})
    if "weights" in resuming:
        check_weights(model, resuming["weights"], f"{source}: {RESUMING}.weights")
    precision = trainer.precision_plugin
    own = {type(precision).__qualname__: precision.state_dict()}
    pairs = [(name, state, checkpoint.get(name)) for name, state in own.items() if state]
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        found = checkpoint["callbacks"].get(callback.state_key)
        pairs.append((f"callbacks.{callback.state_key}", callback.state_dict(), found))
        if isinstance(callback, ModelCheckpoint) and isinstance(found, dict):
            named, files = found.get("kth_best_model_path"), found.get("best_k_models")
            if named and not (isinstance(files, dict) and named in files):
                raise UsageError(f"{source}: best_k_models of a ModelCheckpoint lacks {named!r}.")
    wrongs = (difference(own, found, place, weights) for place, own, found in pairs if found)
    if wrong := next(filter(None, wrongs), None):
        raise UsageError(f"{source}: {printable(wrong, 300)}.")
    for name, gradients in resuming.get("gradients", {}).items():
        if name not in weights or gradients.ndim == 0:
            raise UsageError(f"{source} holds gradients of an unknown {printable(name, 80)}.")
        each = weights[name].expand(len(gradients), *weights[name].shape)  # one for each process
        if wrong := differs(each, gradients, name):
            raise UsageError(f"{source}: the gradients of {printable(wrong, 300)}.")


def check_optimization(checkpoint: Mapping[str, Any], trainer: Trainer, source: object) -> None:
    """Refuse a checkpoint whose optimizers and learning-rate schedules are not a training's.

    Raises:
        UsageError: naming the first place that is wrong.
    """
    check_optimizers(trainer.optimizers, checkpoint["optimizer_states"], source)
    own = [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs]
    for state, saved in zip(own, checkpoint["lr_schedulers"], strict=False):
        complete(state, saved)
    if wrong := difference(own, checkpoint["lr_schedulers"], "lr_schedulers", {}):
        raise UsageError(f"{source}: {printable(wrong, 300)}.")
