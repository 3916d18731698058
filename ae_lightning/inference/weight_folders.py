"""A model as a folder of safetensors and JSON: the third thing that a model is loaded from.

FOLDER/model.safetensors holds its weights and nothing else; FOLDER/model.json its parts, what is
known of its training, and the digest of its weights. Both may be a stranger's.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from shutil import copymode
from typing import TYPE_CHECKING, Annotated, Any, Final, NotRequired

from pydantic import Field
from torch import Tensor
from typing_extensions import TypedDict

from ae_lightning.core.errors import UsageError, printable
from ae_lightning.core.files import open_regular, read_text, sha256_of, write_text
from ae_lightning.core.untrusted import conform
from ae_lightning.training.checkpoint_reading import require_format
from ae_lightning.training.checkpoint_schema import (
    DATA,
    FORMAT,
    FORMAT_KEY,
    MOST_RECORDED,
    PARTS,
    RUN_CONFIG,
    ClockNumbers,
    Config,
    Count,
    DataRecord,
    Figures,
    ModelRecord,
)
from ae_lightning.training.checkpoint_values import check_values

if TYPE_CHECKING:
    from ae_lightning.inference.trained import TrainedModel

WEIGHTS: Final = "model.safetensors"
DESCRIPTION: Final = "model.json"
MOST_JSON: Final = 2**22  # bytes
MOST_HEADER: Final = 2**22  # bytes, which describe some 40,000 tensors
MOST_DESCRIBED: Final = 5 * MOST_RECORDED
TYPES: Final = ("F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL")

# What model.json holds, under the names of a checkpoint.
Description = TypedDict(
    "Description",
    {
        FORMAT_KEY: int,  # type: ignore[misc]
        PARTS: ModelRecord,
        "clock": ClockNumbers,
        "global_step": Count,
        "figures": Figures,
        "classes": list[str],
        DATA: NotRequired[DataRecord],
        RUN_CONFIG: NotRequired[Config],
        "versions": dict[str, str],
        "sha256": Annotated[str, Field(pattern="^[0-9a-f]{64}$")],
    },
)


def is_weight_folder(path: Path) -> bool:
    """Whether a path is a folder that holds a model.json."""
    return os.path.lexists(path / DESCRIPTION)


def write_weight_folder(trained: "TrainedModel", folder: Path) -> list[Path]:
    """Write a model into a folder, and return its two files; the home directory is told as ~."""
    weights, description = folder / WEIGHTS, folder / DESCRIPTION
    tensors = trained.model.state_dict()
    copies = {name: x.detach().cpu().contiguous().clone() for name, x in tensors.items()}
    save_weights(copies, weights)
    tree = {
        FORMAT_KEY: FORMAT,
        PARTS: trained.model.record,
        "clock": list(trained.model.clock),
        "global_step": trained.step,
        "figures": trained.figures,
        "classes": trained.classes,
        DATA: trained.data,
        RUN_CONFIG: trained.config,
        "versions": versions(),
        "sha256": sha256_of(weights),
    }
    known = {name: at_home(value) for name, value in tree.items() if value is not None}
    write_text(description, json.dumps(known, indent=1) + "\n")
    copymode(description, weights)  # which save_file lets nobody else read
    return [weights, description]


def save_weights(tensors: dict[str, Tensor], file: Path) -> None:
    """Write tensors as safetensors.

    Raises:
        OSError: if the disk is full or fails.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(tensors, file, metadata={"format": "pt"})
    except SafetensorError as error:
        if found := re.search(r"os error (\d+)", str(error)):
            raise OSError(number := int(found[1]), os.strerror(number), str(file)) from error
        raise


def read_weight_folder(folder: Path) -> dict[str, Any]:
    """Return what a folder holds, under the names of a checkpoint; nothing in it is built yet.

    Raises:
        UsageError: if a file is missing, damaged, not regular or too large; if model.json holds
            something else; or if the weights are not those that it was written with.
    """
    description, weights = folder / DESCRIPTION, folder / WEIGHTS
    try:
        tree = read_description(description)
        found = read_weights(weights)
        same = sha256_of(weights) == tree["sha256"]
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be read: {error.strerror}.") from None
    if not same:
        raise UsageError(f"{weights} is damaged, or not the file that {description} describes.")
    return {**tree, "state_dict": found}


def read_description(file: Path) -> dict[str, Any]:
    """Read model.json, and check all that it says of itself.

    Raises:
        UsageError: if it is not such a file.
        OSError: if it cannot be opened.
    """
    text = read_text(file, MOST_JSON)
    try:
        tree = json.loads(text)
        check_values(tree, file, MOST_DESCRIBED)
    except RecursionError:
        raise UsageError(f"{file} is nested too deep.") from None
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"{file} is not JSON: {error}.") from None
    if isinstance(tree, dict):
        require_format(tree, str(file))
    conform(Description, tree, file)
    for key in (PARTS, DATA):
        check_values(tree.get(key), f"{file}: {key}", MOST_RECORDED)
    return dict(tree)


def read_weights(file: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a safetensors file, which stay on the disk until they are used.

    Raises:
        UsageError: if it is no such file, or its header is too long.
        OSError: if it cannot be opened.
    """
    from safetensors import safe_open

    with open_regular(file) as opened:
        header = int.from_bytes(opened.read(8), "little")
    if header > MOST_HEADER:
        raise UsageError(
            f"{file} is not safetensors, or its header of {header:,} bytes is too long: expected "
            f"at most {MOST_HEADER:,}."
        )
    try:
        with safe_open(file, framework="pt") as tensors:  # type: ignore[no-untyped-call]
            types = {name: tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
            found = {name: tensors.get_tensor(name) for name in types if types[name] in TYPES}
    except Exception as error:  # whatever the library stumbles over
        why = printable(" ".join(str(error).split()), 120)
        raise UsageError(f"{file} is not safetensors, or is damaged: {why}.") from None
    if odd := types.keys() - found.keys():
        name = min(odd)
        raise UsageError(
            f"{file} holds {printable(name, 80)} as {printable(types[name], 20)}: expected one of "
            f"{', '.join(TYPES)}."
        )
    return found


def versions() -> dict[str, str]:
    """Return the versions of what an exported model was made with."""
    from importlib.metadata import version
    from platform import python_version

    return {"python": python_version(), **{n: version(n) for n in ("ae-lightning", "torch")}}


def at_home(tree: Any) -> Any:
    """Return plain values in which the home directory is ~, as others will read them."""
    if isinstance(tree, Mapping):
        return {key: at_home(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [at_home(value) for value in tree]
    home = str(Path.home())
    within = isinstance(tree, str) and f"{tree}/".startswith(f"{home}/")
    return f"~{tree[len(home) :]}" if within else tree
