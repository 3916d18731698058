"""What a checkpoint holds: plain values and tensors, from which model and data are made again."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import Record, locate, rebuild, vouch
from ae_lightning.training import run_directory

MODEL, DATA = "hyper_parameters", "datamodule_hyper_parameters"


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Read a checkpoint, unpickling nothing; its tensors stay on the disk until they are used.

    Raises:
        UsageError: where the file is missing, damaged, or no checkpoint of an autoencoder.
    """
    if not file.is_file():
        raise UsageError(f"there is no checkpoint {file}.")
    if wrong := run_directory.damage(file):
        raise UsageError(f"{file} is no checkpoint, or a damaged one: {wrong}.")
    try:
        checkpoint: dict[str, Any] = torch.load(file, "cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        raise UsageError(
            f"{file} holds more than plain values and tensors, and is not opened."
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError):
        raise UsageError(f"{file} is no checkpoint.") from None
    record = checkpoint.get(MODEL) if isinstance(checkpoint, dict) else None
    whole = isinstance(record, dict) and {"class_path", "init_args"} <= record.keys()
    if not whole or "state_dict" not in checkpoint:
        raise UsageError(f"{file} is no checkpoint of an autoencoder of this package.")
    return checkpoint


def recorded(checkpoint: dict[str, Any]) -> Record:
    """Return the config of the model and, where it is recorded, of the data of a checkpoint.

    Raises:
        UsageError: where it names what is no part of these.
    """
    tree = {"model": checkpoint[MODEL]}
    if data := checkpoint.get(DATA):
        tree["data"] = data
    vouch(tree)
    return tree


def rebuild_model(checkpoint: Record, kind: type, changes: Record) -> Any:
    """Build the module that a checkpoint records, without its weights.

    Args:
        kind: the class that it must be of.
        changes: arguments that replace the recorded ones.

    Raises:
        UsageError: if it is of another class.
    """
    record = checkpoint[MODEL]
    made_by = locate(record["class_path"])
    if not (isinstance(made_by, type) and issubclass(made_by, kind)):
        raise UsageError(f"the checkpoint holds a {made_by.__name__}, not a {kind.__name__}.")
    return made_by(**{k: rebuild(v) for k, v in record["init_args"].items()} | changes)
