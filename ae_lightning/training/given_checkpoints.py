"""Lightning's ModelCheckpoint beside our own: its files, and what it forgets of its own state."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from ae_lightning.core.errors import UsageError
from ae_lightning.training import run_directory
from ae_lightning.training.private import restore_unsaved, unsaved

OWN: Final = (Path(run_directory.BEST).stem, Path(run_directory.FINAL).stem)


def given(trainer: Trainer) -> list[ModelCheckpoint]:
    """Return the callbacks of a trainer that save checkpoints of their own."""
    return [c for c in trainer.callbacks if isinstance(c, ModelCheckpoint)]  # type: ignore[attr-defined]


def refuse_own_names(trainer: Trainer) -> None:
    """Refuse a file name that a run gives to its own checkpoints.

    Raises:
        UsageError: if a ModelCheckpoint has such a name, and no folder of its own.
    """
    folder = Path(trainer.default_root_dir, run_directory.CHECKPOINTS).resolve()
    for callback in given(trainer):
        name = callback.filename or ""
        inside = callback.dirpath is None or Path(callback.dirpath).resolve() == folder
        if inside and (name in OWN or name.startswith("step-")):
            raise UsageError(
                f"trainer.callbacks: the filename of {type(callback).__name__} is {name}, as a run "
                "names its own checkpoints: choose another, or a dirpath."
            )


def at_hand(trainer: Trainer) -> dict[str, list[int]]:
    """Return what each of them keeps to itself, by the key of its state."""
    return {callback.state_key: unsaved(callback) for callback in given(trainer)}


def restore(
    trainer: Trainer, states: dict[str, Any], kept: dict[str, list[int]], resumed_from: Path
) -> None:
    """Bring them, and their files, to where they were when a state was saved.

    Files that were written since are renamed, since they will be written again.

    Args:
        states: the saved states of all callbacks, by their keys.
        kept: what `at_hand` has returned.
        resumed_from: the state's file.
    """
    for callback in given(trainer):
        if (state := states.get(callback.state_key)) is None:
            continue
        callback.current_score = state["current_score"]  # it saves this, and does not load it
        if callback.state_key in kept:
            restore_unsaved(callback, kept[callback.state_key])
        known = {state["best_model_path"], state["last_model_path"], *state["best_k_models"]}
        if trainer.is_global_zero and callback.dirpath is not None:
            since = resumed_from.stat().st_mtime_ns
            for file in unknown(Path(callback.dirpath), {Path(p).name for p in known if p}):
                if file.lstat().st_mtime_ns > since:
                    os.replace(file, file.with_name(f"{file.name}.undone"))


def unknown(folder: Path, known: Iterable[str]) -> list[Path]:
    """Return the checkpoints in a folder that are neither known nor a run's own."""
    ours = {run_directory.BEST, run_directory.FINAL, *known}
    return [f for f in folder.glob("*.ckpt") if f.name not in ours and not own_state(f)]


def own_state(file: Path) -> bool:
    """Whether a file is named as a state to resume from is."""
    return file.name == run_directory.state_name(run_directory.step_of(file))
