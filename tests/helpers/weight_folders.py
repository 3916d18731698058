"""A folder of weights, as a stranger could write one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from untrusted.mutations import Tree

from ae_lightning.core.files import sha256_of
from ae_lightning.inference.weight_folders import DESCRIPTION, WEIGHTS


def described(good: Path) -> Tree:
    tree: Tree = json.loads((good / DESCRIPTION).read_text())
    return tree


def rewritten(here: Path, tree: Any, dump: Callable[[Any], str] = json.dumps) -> None:
    (here / "model" / DESCRIPTION).write_text(dump(tree))


def resealed(here: Path) -> None:
    """Let the description tell the digest of what is there, as an attacker would."""
    tree = described(here / "model")
    tree["sha256"] = sha256_of(here / "model" / WEIGHTS)
    rewritten(here, tree)


def with_header(header: bytes, values: bytes = b"", length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + values


def entry(**changes: Any) -> bytes:
    """A header of one tensor, which the model has."""
    tensor = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes
    return json.dumps({"encoder.mean": tensor}).encode()
