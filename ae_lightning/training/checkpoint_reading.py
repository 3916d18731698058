"""What a checkpoint holds: plain values and tensors, from which model and data are rebuilt."""

import pickle
import reprlib
from pathlib import Path
from typing import Any, Final

import torch

from ae_lightning.core.addresses import withhold
from ae_lightning.core.arguments import as_declared
from ae_lightning.core.errors import UsageError
from ae_lightning.core.files import damage
from ae_lightning.core.fingerprints import Fingerprint
from ae_lightning.core.parts import Record, check_record, locate, rebuild
from ae_lightning.core.untrusted import conform

FORMAT: Final = 1  # of the checkpoints that this version saves and loads

# Where a checkpoint keeps its format, the records of model and data, its run's config, and what
# resuming needs beside Lightning's own.
FORMAT_KEY: Final = "ae_lightning_format"
MODEL: Final = "hyper_parameters"
DATA: Final = "datamodule_hyper_parameters"
RUN_CONFIG: Final = "config"
RESUMING: Final = "resuming"


def read_checkpoint(file: Path) -> dict[str, Any]:
    """Load a checkpoint, unpickling nothing; its tensors stay on the disk until they are used.

    Raises:
        UsageError: if the file is missing or damaged, not a checkpoint of an autoencoder, or of
            another format.
    """
    if not file.is_file():
        raise UsageError(f"there is no checkpoint {file}.")
    if wrong := damage(file):
        raise UsageError(f"{file} is not a checkpoint, or is damaged: {wrong}.")
    try:
        checkpoint: dict[str, Any] = torch.load(file, "cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        raise UsageError(
            f"{file} holds more than plain values and tensors, so it is not opened."
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError):
        raise UsageError(f"{file} is not a checkpoint.") from None
    keys = checkpoint.keys() if isinstance(checkpoint, dict) else set()
    if FORMAT_KEY in keys:  # what else another format holds is not known
        require_format(checkpoint, str(file))
    record = checkpoint[MODEL] if {MODEL, "state_dict"} <= keys else None
    if not (isinstance(record, dict) and {"class_path", "init_args"} <= record.keys()):
        raise UsageError(f"{file} is not a checkpoint of an autoencoder of this package.")
    require_format(checkpoint, str(file))
    return checkpoint


def require_format(checkpoint: dict[str, Any], name: str = "the checkpoint") -> None:
    """Refuse a checkpoint of another format.

    Raises:
        UsageError: if its format number is missing, or is not `FORMAT`.
    """
    found = checkpoint.get(FORMAT_KEY)
    if type(found) is int and found == FORMAT:
        return
    what = "has no format number" if found is None else f"is of format {reprlib.repr(found)}"
    raise UsageError(f"{name} {what}: this version of ae-lightning reads format {FORMAT} only.")


def recorded(checkpoint: dict[str, Any]) -> Record:
    """Return a checkpoint's record of the model and, if it has one, of the data, withheld.

    Raises:
        UsageError: if a record names what is not a part of these.
    """
    tree = {"model": checkpoint[MODEL]}
    if data := checkpoint.get(DATA):
        tree["data"] = data
    check_record(tree)
    return tree | {"data": withhold(data)} if data else tree


def fingerprint_of(checkpoint: dict[str, Any]) -> Fingerprint | None:
    """Return what a checkpoint's data were, if it says so.

    Raises:
        UsageError: if it says something else in that place.
    """
    data = checkpoint.get(DATA)
    name = str(data["class_path"]).rpartition(".")[2] if data else ""
    state = checkpoint.get(name, {})  # where Lightning keeps that of a data module
    kind: Any = Fingerprint | None
    return conform(kind, state.get("fingerprint"), "the checkpoint")  # type: ignore[no-any-return]


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
    arguments = {k: rebuild(v) for k, v in record["init_args"].items()}
    return made_by(**as_declared(made_by, arguments) | changes)
