"""How configs are put together.

Configs merge from left to right, key by key, so that each adds to those before it; if a
`class_path` changes, those arguments of the former class stay that the new one takes too.
"""

from collections.abc import Container, Iterable, Mapping
from functools import reduce
from typing import Any

from ae_lightning.core.config_files import Tree, malformed, read, shipped
from ae_lightning.core.errors import UsageError


def compose(trees: Iterable[Tree]) -> Tree:
    """Merge configs from left to right.

    >>> compose([{"a": {"x": 1}}, {"a": {"y": 2}}])
    {'a': {'x': 1, 'y': 2}}
    """
    composed: Tree = reduce(merge, trees, {})
    if wrong := malformed(composed):
        raise UsageError(f"{wrong}.")
    return composed


def merge(base: Mapping[str, Any], over: Mapping[str, Any], carry: bool = True) -> Tree:
    """Return `base` with the values of `over`, mapping by mapping.

    Args:
        carry: whether a class keeps the arguments of the one before it, if it takes them too.

    >>> merge({"class_path": "Adam", "init_args": {"lr": 1, "fused": True}}, {"class_path": "SGD"})
    {'class_path': 'SGD', 'init_args': {'lr': 1, 'fused': True}}
    """
    former, latter = base.get("class_path"), over.get("class_path")
    if former and latter and not same_class(former, latter):
        arguments = base.get("init_args") or {}
        kept = {k: v for k, v in arguments.items() if k in taken_by(latter)} if carry else {}
        base = {"class_path": latter} | ({"init_args": kept} if kept else {})
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping):
            value = merge(base[key], value, carry)
        merged[key] = value
    return merged


def taken_by(class_path: str) -> Container[str]:
    """The names of the arguments that a class takes; none if there is no such class."""
    from ae_lightning.cli.classes import class_named
    from ae_lightning.core.arguments import parameters_of

    kind = class_named(class_path)
    return parameters_of(kind) if kind else ()


def same_class(one: str, other: str) -> bool:
    """Whether two paths name the same class, by whichever module."""
    if one == other:
        return True
    if one.rpartition(".")[2] != other.rpartition(".")[2]:
        return False
    if "." not in one or "." not in other:
        return True
    from ae_lightning.core.parts import locate

    try:
        return locate(one) is locate(other)
    except (ImportError, UsageError):
        return False


def short_name(class_path: str) -> str:
    """The name of the shipped config of a class, or the class's own name in lower case."""
    for name, file in shipped().items():
        for section in ("model", "data"):
            node = read(str(file)).get(section, {})
            if "class_path" in node and same_class(node["class_path"], class_path):
                return name
    return class_path.rpartition(".")[2].lower()
