"""The shipped configs, and configs as files: plain YAML of names and values."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from stat import S_ISFIFO
from typing import Any, Final

import yaml

from ae_lightning.core.errors import UsageError, nearest
from ae_lightning.core.files import open_regular, path_of
from ae_lightning.core.yaml_text import MOST_BYTES, load_yaml, refusal

Tree = dict[str, Any]

# Read before the configs are, so that none can set them.
ONLY_OPTIONS: Final = ("run", "resume", "ckpt_path", "config", "debug", "trust")
CONFIGS: Final = Path(__file__).parents[1] / "configs"


def shipped() -> dict[str, Path]:
    """The shipped configs' files by name: parts to add up, and recipes/…, whole experiments."""
    files = [*sorted(CONFIGS.glob("*.yaml")), *sorted(CONFIGS.glob("recipes/*.yaml"))]
    return {file.relative_to(CONFIGS).with_suffix("").as_posix(): file for file in files}


def shipped_sweeps() -> dict[str, Path]:
    """The shipped sweeps' files by name, for W&B's agent to run."""
    return {file.stem: file for file in sorted(CONFIGS.glob("sweeps/*.yaml"))}


def kind_and_purpose(file: Path) -> tuple[str, str]:
    """What kind of config a shipped file is, and what it is for: its first line, a comment."""
    with file.open(encoding="utf-8") as lines:
        kind, _, text = next(lines).removeprefix("# ").strip().partition(": ")
    return kind, text


def read(name: str) -> Tree:
    """Read a config: the file of that path, or the shipped config of that name.

    Raises:
        UsageError: if there is neither, or it is not plain YAML of names and values.
    """
    file = path_of(name, "config")
    if not is_file(file):
        if name not in (known := shipped()):
            raise UsageError(
                f"there is no config {name[:100]}, as a file or shipped: {nearest(name, known)}"
            )
        file = known[name]
    try:
        with open_regular(file, MOST_BYTES) as opened:
            tree = load_yaml(opened.read())
    except OSError as error:
        raise UsageError(f"the config {name} cannot be read: {error.strerror}.") from None
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f", line {mark.line + 1}" if mark else ""
        problem = problem or str(error).splitlines()[0]
        raise UsageError(f"the config {name}{place} is not YAML: {problem}.") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        kind = type(tree).__name__
        raise UsageError(f"the config {name} is a {kind}: expected names with values, as in a: 1.")
    if wrong := malformed(tree):
        raise UsageError(f"the config {name}: {wrong}.")
    return tree


def is_file(path: Path) -> bool:
    """Whether there is such a file; text that cannot be a path is not one."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def unreadable(value: str) -> str:
    """Say why a value may not reach the parser, which would build all of it, or wait for a pipe."""
    try:
        if S_ISFIFO(os.stat(value).st_mode):
            return f"{value} is a pipe: expected a file"
    except (OSError, ValueError):  # it is no path
        pass
    return refusal(value)


def malformed(node: Any, path: str = "", above: tuple[int, ...] = ()) -> str | None:
    """Say what a config holds that no parser can make sense of, or return None.

    >>> malformed({"model": {"class_path": 3}})
    'model.class_path is 3: expected text'
    """
    if id(node) in above:
        return f"{path} contains itself"
    if isinstance(node, list):
        entries: Iterable[tuple[Any, Any]] = [(str(i), value) for i, value in enumerate(node)]
    elif isinstance(node, Mapping):
        entries = node.items()
    else:
        unread = unreadable(node) if isinstance(node, str) else ""
        return f"{path}: {unread}" if unread else None
    for name, value in entries:
        here = f"{path}.{name}" if path else str(name)
        if not isinstance(name, str):
            return f"{here} has the name {name!r}, which is not text: put it in quotes"
        if not path and name in ONLY_OPTIONS:
            return f"{name} stands in a config: give it on the command line, as --{name}"
        if not path and name in ("trainer", "checkpoints") and not isinstance(value, Mapping):
            return f"{name} is {value}: expected names with values"
        if "class_path" in node and name not in ("class_path", "init_args", "dict_kwargs"):
            return f"{here} stands beside class_path: arguments belong under init_args"
        if name == "class_path" and not isinstance(value, str):
            return f"{here} is {value!r}: expected text"
        if name == "init_args" and not isinstance(value, Mapping):
            return f"{here} is {value!r}: expected names with values"
        if wrong := malformed(value, here, (*above, id(node))):
            return wrong
    return None
