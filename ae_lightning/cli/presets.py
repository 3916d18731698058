"""Presets by their names, and their own parts written out, to be changed without their classes."""

import re
from collections.abc import Mapping
from inspect import isabstract
from typing import Any, Final

import yaml

from ae_lightning import systems  # whose classes go by their bare names
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.cli.classes import class_named
from ae_lightning.cli.composition import compose, merge
from ae_lightning.cli.options import Option, options_in
from ae_lightning.cli.suited import suited
from ae_lightning.core.arguments import parameters_of
from ae_lightning.core.config_files import Tree
from ae_lightning.core.errors import UsageError, closest
from ae_lightning.core.yaml_text import load_yaml

SECTIONS: Final = (["model"], ["data"])
SPECIAL: Final = {"help", "init_args", "dict_kwargs"}  # of the parser's, and no arguments


def with_parts(tree: Tree, flags: list[str]) -> tuple[Tree, list[str]]:
    """Write out a model's default parts, and move into the configs what flags say of classes.

    The parser reads configs before flags, and would give the arguments of a default part to
    whatever class a flag puts in its place.

    Returns:
        The configs, and the flags that are left.

    Raises:
        UsageError: if a flag sets an argument of a part that has no class.

    >>> tree, flags = with_parts({}, ["--model", "VariationalAutoEncoder", "--model.latent=2"])
    >>> tree["model"]["init_args"]["encoder"]["class_path"], flags
    ('ae_lightning.nn.mlp.MLP', ['--model.latent=2'])
    """
    given = options_in(flags)
    for depth in (1, None):  # first what the model is, since its parts follow from that
        whole, left = with_defaults(tree, flags), list[Option]()
        for option in given:
            said = None if depth and len(option.path) > depth else said_of_class(option, whole)
            tree = compose([tree, said]) if said else tree
            left += [] if said else [option]
        given = left
    whole, flags = with_defaults(tree, flags), [word for option in given for word in option.words]
    for option in given:
        require_class(option, whole, given)
    return whole, flags


def with_defaults(tree: Tree, flags: list[str]) -> Tree:
    """Write out the parts that a model has by default, below what configs say of them.

    >>> tree = with_defaults({"model": {"class_path": "VariationalAutoEncoder"}}, [])
    >>> tree["model"]["class_path"], tree["model"]["init_args"]["latent"]
    ('ae_lightning.systems.VariationalAutoEncoder', 16)
    """
    node = tree.get("model")
    if not isinstance(node, Mapping) or (kind := system(node.get("class_path"))) is None:
        return tree
    given, options = node.get("init_args") or {}, options_in(flags)
    defaults = suited(kind.defaults(), tree, given, options)
    paths = (option.path for option in options)
    asked = {*given, *(name for path in paths if path[:1] == ["model"] for name in path)}
    # It spans the whole training, which is an error if that has no end.
    if "lr_schedule" not in asked:
        del defaults["lr_schedule"]
    path = f"{kind.__module__}.{kind.__qualname__}"
    return {**tree, "model": merge({"init_args": defaults}, {**node, "class_path": path}, False)}


def system(name: Any) -> type[AutoEncoder] | None:
    """The autoencoder of this path or bare name, if there is one that can be built."""
    found = getattr(systems, str(name), None) or class_named(name)
    buildable = isinstance(found, type) and issubclass(found, AutoEncoder) and not isabstract(found)
    return found if buildable else None


def said_of_class(option: Option, whole: Tree) -> Tree | None:
    """What an option says of a class, as a config: a class by its name, or names with values."""
    value: Any = option.value
    if value is None or option.path[:1] not in SECTIONS:
        return None
    keys, node = place(option.path, whole)
    known = isinstance(node, Mapping) and "class_path" in node
    if value.startswith("{"):
        try:
            value = load_yaml(value)
        except yaml.YAMLError:
            return None  # the parser says what is wrong
    elif value not in ("null", "None", "") and (
        known or option.path in SECTIONS or option.name.endswith(".class_path")
    ):
        if re.match(r"[-+.\d\[]", value):
            name = next(iter(node.get("init_args") or {}), "NAME") if known else "NAME"
            raise UsageError(
                f"{option.name} is {value}: expected the name of a class; its arguments are set "
                f"like --{'.'.join(option.path)}.{name} {value}."
            )
        if "." not in value and (kind := class_named(value)) is not None:
            value = f"{kind.__module__}.{kind.__qualname__}"
        value = {"class_path": value}
    else:
        return None
    for key in reversed(keys):
        value = {key: value}
    return value  # type: ignore[no-any-return]


def place(path: list[str], whole: Tree) -> tuple[list[str], Any]:
    """Where a config keeps what an option of this path sets, and what is there, if anything.

    >>> whole = {"model": {"class_path": "A", "init_args": {"encoder": {"class_path": "B"}}}}
    >>> place(["model", "encoder"], whole)
    (['model', 'init_args', 'encoder'], {'class_path': 'B'})
    """
    keys: list[str] = []
    node: Any = whole
    for name in path:
        parts = isinstance(node, Mapping) and ("class_path" in node or keys == path[:1])
        if parts and name not in SPECIAL:
            keys, node = [*keys, "init_args"], node.get("init_args")
        keys, node = [*keys, name], node.get(name) if isinstance(node, Mapping) else None
    return keys, node


def require_class(option: Option, whole: Tree, given: list[Option]) -> None:
    """Refuse an option that sets an argument of a part whose class nothing names.

    Raises:
        UsageError: with the nearest part that has a class.
    """
    path = option.path
    if path[:1] not in SECTIONS or SPECIAL & {*path}:
        return
    _, above = place(path[:1], whole)
    for n in range(2, len(path)):
        name, part = path[n - 1], path[:n]
        if not isinstance(above, Mapping) or any(o.path == part for o in given):
            return
        _, node = place(part, whole)
        if node is None and (kind := class_named(above.get("class_path"))):
            parameter = parameters_of(kind).get(name)
            if parameter is None or parameter.default is not None:
                return  # the parser knows more of it
            node = {} if "dict[" in str(parameter.annotation) else None
        if node is None or isinstance(node, str | int | float):
            close = closest(name, above) if "class_path" not in above else None
            meant, dotted = ".".join([*part[:-1], close or ""]), ".".join(part)
            raise UsageError(
                f"{option.name} is an argument of {dotted}, which has no class: "
                + (f"did you mean {meant}?" if close else f"name it, as by --{dotted} CLASS.")
            )
        above = node
