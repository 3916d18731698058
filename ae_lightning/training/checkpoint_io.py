"""How the bytes of a checkpoint reach the disk and come back."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.strategies import ModelParallelStrategy, Strategy

from ae_lightning.core.files import replacing
from ae_lightning.training.checkpoint_reading import read_checkpoint


class AtomicCheckpointIO(TorchCheckpointIO):
    """Save a checkpoint whole and sealed, or leave the former one; load it checked."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        with replacing(Path(path), sealed=True) as file:
            torch.save(checkpoint, file)  # type: ignore[arg-type]

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return read_checkpoint(Path(path), mmap=False)


def drop_functions(checkpoint: dict[str, Any]) -> None:
    """Leave functions out of schedulers' states, as SWALR's has one with torch 2.7.

    A checkpoint that holds one is not opened, and the scheduler that is restored has its own.
    """
    callbacks = [c for c in checkpoint.get("callbacks", {}).values() if isinstance(c, dict)]
    states = checkpoint.get("lr_schedulers", []) + [c.get("scheduler_state") for c in callbacks]
    for state in states:
        if isinstance(state, dict):
            for name in [name for name, value in state.items() if callable(value)]:
                del state[name]


def use_atomic(strategy: Strategy) -> None:
    """Let a strategy save and load by `AtomicCheckpointIO` where it would by Lightning's own."""
    if isinstance(strategy, ModelParallelStrategy):  # which has none, and reads for itself
        return
    if type(strategy.checkpoint_io) is TorchCheckpointIO:
        strategy.checkpoint_io = AtomicCheckpointIO()


def write_last(callback: Callback, trainer: Trainer, file: Path) -> None:
    """Save a checkpoint, and call this callback last, to see what the others have put into it."""
    called: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    trainer.callbacks = [c for c in called if c is not callback] + [callback]  # type: ignore[attr-defined]
    try:
        trainer.save_checkpoint(file, weights_only=False)
    finally:
        trainer.callbacks = called  # type: ignore[attr-defined]
