"""What a checkpoint holds: plain values and tensors, from which model and data are rebuilt."""

import pickle
import reprlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ae_lightning.core.addresses import withhold
from ae_lightning.core.errors import UsageError, printable
from ae_lightning.core.files import damage
from ae_lightning.core.fingerprints import Fingerprint
from ae_lightning.core.parts import (
    Record,
    check_record,
    defined_here,
    make,
    part_class,
    rebuild,
    to_plain,
)
from ae_lightning.core.trust import classes_of, require_trusted
from ae_lightning.core.untrusted import conform
from ae_lightning.training.checkpoint_schema import (
    DATA,
    FORMAT,
    FORMAT_KEY,
    MODEL,
    DataRecord,
    check_structure,
)
from ae_lightning.training.checkpoint_weights import check_weights


def read_checkpoint(file: Path, mmap: bool = True) -> dict[str, Any]:
    """Load a checkpoint, unpickling nothing, and check what it holds.

    Args:
        mmap: leave its tensors on the disk until they are used.

    Raises:
        UsageError: if the file is missing or damaged, not a checkpoint of an autoencoder, or of
            another format.
    """
    if not file.is_file():
        raise UsageError(f"there is no checkpoint {file}.")
    if wrong := damage(file) or squeezed(file):
        raise UsageError(f"{file} is not a checkpoint, or is damaged: {wrong}.")
    try:
        checkpoint: dict[str, Any] = torch.load(file, "cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError:
        raise UsageError(
            f"{file} holds more than plain values and tensors, so it is not opened."
        ) from None
    except Exception:  # whatever torch's own unpickler stumbles over
        raise UsageError(f"{file} is not a checkpoint.") from None
    keys = checkpoint.keys() if isinstance(checkpoint, dict) else set()
    if FORMAT_KEY in keys:  # what else another format holds is not known
        require_format(checkpoint, str(file))
    record = checkpoint[MODEL] if {MODEL, "state_dict"} <= keys else None
    if not (isinstance(record, dict) and {"class_path", "init_args"} <= record.keys()):
        raise UsageError(f"{file} is not a checkpoint of an autoencoder of this package.")
    require_format(checkpoint, str(file))
    check_structure(checkpoint, file)
    return checkpoint


def squeezed(file: Path) -> str | None:
    """Say which member of a zip file is compressed, as torch writes none, or return None."""
    try:
        with zipfile.ZipFile(file) as archive:
            kinds = {m.filename: m.compress_type for m in archive.infolist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        return printable(str(error), 160) or type(error).__name__
    names = [name for name, kind in kinds.items() if kind != zipfile.ZIP_STORED]
    return f"its member {printable(names[0], 80)} is compressed" if names else None


def require_format(checkpoint: Mapping[str, Any], name: str = "the checkpoint") -> None:
    """Refuse a checkpoint of another format.

    Raises:
        UsageError: if its format number is missing, or is not `FORMAT`.
    """
    found = checkpoint.get(FORMAT_KEY)
    if type(found) is int and found == FORMAT:
        return
    what = "has no format number" if found is None else f"is of format {reprlib.repr(found)}"
    raise UsageError(f"{name} {what}: this version of ae-lightning reads format {FORMAT} only.")


def recorded(checkpoint: dict[str, Any], file: Path) -> Record:
    """Return a checkpoint's record of the model and, if it has one, of the data, withheld.

    Raises:
        UsageError: if a record names what is not a part of these, or is not trusted; or if the
            recorded model is not the one whose weights the checkpoint holds.
    """
    tree = {"model": checkpoint[MODEL]}
    if data := checkpoint.get(DATA):
        conform(DataRecord, data, f"{file}: {DATA}")
        tree["data"] = data
    check_record(tree)
    check_recorded_weights(checkpoint, part_class(checkpoint[MODEL]["class_path"]), {}, file)
    return tree | {"data": withhold(data)} if data else tree


def data_record(checkpoint: dict[str, Any], file: Path) -> Record | None:
    """Return a checkpoint's record of the data, withheld, importing nothing that records name.

    Raises:
        UsageError: if one of them names what is not trusted.
    """
    for path in classes_of([checkpoint.get(MODEL), checkpoint.get(DATA)]):
        if defined_here(path) is None:
            require_trusted(path, file)
    if not (data := checkpoint.get(DATA)):
        return None
    kept: Record = withhold(conform(DataRecord, data, f"{file}: {DATA}"))
    return kept


def validation(checkpoint: Mapping[str, Any]) -> dict[str, float]:
    """The validation that a checkpoint was chosen by, its step and epoch among the figures."""
    return dict(checkpoint.get("callbacks", {}).get("Checkpoints", {}).get("latest", {}))


def fingerprint_of(checkpoint: dict[str, Any]) -> Fingerprint | None:
    """Return what a checkpoint's data were, if it says so.

    Raises:
        UsageError: if it says something else in that place.
    """
    class_path = str((checkpoint.get(DATA) or {}).get("class_path", ""))
    name = class_path.rpartition(".")[2]  # by which Lightning keeps the state of a data module
    state = conform(dict[str, Any], checkpoint.get(name, {}), f"the checkpoint's {name}")
    kind: Any = Fingerprint | None
    found: Fingerprint | None = conform(kind, state.get("fingerprint"), "the data's fingerprint")
    return found


def check_recorded_weights(
    checkpoint: Record, kind: type, changes: Record, source: object, key: str = MODEL
) -> None:
    """Refuse weights that are not those of the recorded model, before memory is taken for it.

    It is built without memory, so that sizes that a stranger wrote take none.

    Args:
        kind: the class of the model.
        changes: plain arguments that replace the recorded ones.
        key: of the record.

    Raises:
        UsageError: if it cannot be built, or its weights are others.
    """
    arguments = checkpoint[key]["init_args"] | changes
    try:
        with torch.device("meta"), torch.random.fork_rng([]):
            sketch = make(kind, {k: rebuild(v) for k, v in arguments.items()})
    except UsageError as error:
        if "meta" in str(error.__cause__):  # a plug-in that computes while it is built
            return
        raise
    check_weights(sketch, checkpoint["state_dict"], source)


def rebuild_model(
    checkpoint: Record, kind: type, changes: Record, source: object, key: str = MODEL
) -> Any:
    """Build the module that a checkpoint records, without its weights.

    Args:
        kind: the class that it must be of.
        changes: arguments that replace the recorded ones.
        source: the checkpoint's file, for the sentence.
        key: of the record.

    Raises:
        UsageError: if it is of another class, or its weights are not those of the checkpoint.
    """
    record = checkpoint[key]
    check_record(record)
    made_by = part_class(record["class_path"])
    if not issubclass(made_by, kind):
        raise UsageError(f"the checkpoint holds a {made_by.__name__}, not a {kind.__name__}.")
    check_recorded_weights(checkpoint, made_by, to_plain(changes), source, key)
    arguments = {k: rebuild(v) for k, v in record["init_args"].items() if k not in changes}
    return make(made_by, arguments, changes)
