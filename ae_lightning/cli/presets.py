"""Presets by their names, and their own parts written out, to be changed without their classes."""

from collections.abc import Mapping
from inspect import isabstract
from typing import Any

from ae_lightning import systems
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.cli.composition import Tree, merge
from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import locate


def with_classes(tree: Tree, flags: list[str]) -> tuple[Tree, list[str]]:
    """Move --model NAME and --data NAME into the configs: the parser reads those before flags.

    >>> with_classes({"data": {"init_args": {"batch_size": 8}}}, ["--data", "Digits"])
    ({'data': {'init_args': {'batch_size': 8}, 'class_path': 'Digits'}}, [])
    """
    flags = list(flags)
    for section in ("model", "data"):
        for i in reversed(range(len(flags))):
            option, equals, value = flags[i].partition("=")
            if option == f"--{section}" and (equals or i + 1 < len(flags)):
                value = value if equals else flags.pop(i + 1)
                del flags[i]
                tree = merge(tree, {section: {"class_path": value}})
                break
    return tree, flags


def with_defaults(tree: Tree, flags: list[str]) -> Tree:
    """Write out the parts that a model has by default, below what configs say of them.

    >>> tree = with_defaults({"model": {"class_path": "VariationalAutoEncoder"}}, [])
    >>> tree["model"]["class_path"], tree["model"]["init_args"]["latent"]
    ('ae_lightning.systems.VariationalAutoEncoder', 16)
    """
    node = tree.get("model")
    if not isinstance(node, Mapping) or (kind := class_of(node.get("class_path"))) is None:
        return tree
    defaults, given = kind.defaults(), node.get("init_args") or {}
    asked = {*given} | {f.removeprefix("--model.").removeprefix("init_args.") for f in flags}
    # It spans the whole training, which is an error if that has no end.
    if not any(name.partition(".")[0] == "lr_schedule" for name in asked):
        del defaults["lr_schedule"]
    path = f"{kind.__module__}.{kind.__qualname__}"
    return {**tree, "model": merge({"init_args": defaults}, {**node, "class_path": path})}


def class_of(path: Any) -> type[AutoEncoder] | None:
    """The autoencoder of this path, or the system of this bare name, if there is one."""
    if not isinstance(path, str):
        return None
    found = getattr(systems, path, None)
    if found is None and "." in path:
        try:
            found = locate(path)
        except (ImportError, UsageError):
            return None
    if not isinstance(found, type) or isabstract(found) or not issubclass(found, AutoEncoder):
        return None
    return found
