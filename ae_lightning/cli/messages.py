"""Boil the parser's errors down to one sentence: the option, what is wrong, the right name."""

from __future__ import annotations

import inspect
import math
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

import torch

from ae_lightning.core.errors import UsageError, nearest
from ae_lightning.core.parts import locate

Tree = Mapping[str, Any]
NULLS = ("null", "Null", "NULL", "~")
MANY = 20  # names, which would be no answer
LONG = 500  # characters, which hold more than a sentence
CLASS = ""  # where a simplified tree keeps a node's class

FRIENDLY = {
    "NoneType": "null",
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "a text",
    "list": "a list",
    "collections.abc.Sequence": "a list",
    "collections.abc.Iterable": "a list",
    "dict": "names with values",
    "instantiatable": "the name of a class",
}


# What torch says of sizes that no machine has, and of those that this one has not.
TOO_LARGE = re.compile(
    r"can't allocate memory|not enough memory|out of memory|Storage size calculation overflowed"
    r"|[Ii]nteger multiplication overflow|numel: integer|Overflow when unpacking",
)


class ParseFailure(Exception):
    """What the parser says of wrong options, in its own many lines."""


def explain(message: str, tree: Tree, flags: list[str], options: Iterable[str]) -> str:
    """Return one sentence for a parser's message.

    Args:
        message: what the parser says.
        tree: the composed configs that it was given.
        flags: the flags that it was given.
        options: the names of all options, such as trainer.max_epochs.
    """
    options = sorted(options)
    block = innermost(message)
    if found := re.search(r"unrecognized arguments: (\S+)", message):
        return _unknown_option(found[1], options)
    if found := re.search(r"does not accept option '([^']+)'", message):
        return _unknown_option(found[1], options)
    if misplaced := _beside_class(tree):
        return f"{misplaced} stands beside class_path: arguments stand under init_args."
    if found := re.search(r"Option '([^']+)' is not accepted", block):
        return _unknown_argument(found[1], tree, flags)
    if found := re.search(r"arguments? are required: (.+)", block):
        return _missing(found[1], _key(message))
    if found := re.search(r"Problem with given class_path '([^']+)':\s*([^\n]+)", block):
        return _unknown_class(found[1], found[2], _key(message))
    if found := re.search(r"Expected a dot import path string: ([^\n]+)", block):
        return _unknown_name(found[1], _key(message), block)
    if found := re.search(r"does not correspond to a subclass of (\w+)", block):
        return f"{_key(message)} is {_value(message)}, which is no {found[1]}."
    if found := re.search(r"Not a valid subclass of (\w+)", block):
        return f"{_key(message)} is {_value(message)}: expected the class_path of one {found[1]}."
    if found := re.match(r"argument (?:-\w/)?(\S+): (.+)", message):
        return f"{found[1]}: {found[2]}."
    if reason := _reason(block, _value(message)):
        return f"{_key(message)} is {_value(message)}: {reason}"
    return _short(message)


def innermost(message: str) -> str:
    """The part of a parser's message that is about the innermost key: its lines by indentation."""
    lines = message.splitlines()
    starts = [i for i, line in enumerate(lines) if "Parser key" in line]
    if not starts:
        return message
    depth = len(lines[starts[-1]]) - len(lines[starts[-1]].lstrip())
    block = [lines[starts[-1]]]
    for line in lines[starts[-1] + 1 :]:
        if line.strip() and len(line) - len(line.lstrip()) <= depth:
            break
        block.append(line)
    return "\n".join(block)


def known_failure(error: BaseException) -> str | None:
    """One sentence for what a trainer or a part fails of and a user can put right, or None."""
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    text = " ".join(str(error).partition("Exception raised from")[0].split())  # frames of C++
    if isinstance(error, MisconfigurationException):
        return _short(text, LONG)
    if _raised_in(error).startswith("lightning."):
        # An attribute that is looked up in vain has a name; an error that says so has none.
        wrong = isinstance(error, AttributeError) and error.name is None
        # A callback that is told to watch what nothing logs.
        wrong |= "callbacks" in _raised_in(error) and isinstance(error, RuntimeError)
        if wrong or isinstance(error, ValueError):
            return _short(text, LONG)
    if isinstance(error, ImportError) and not (error.name or "").startswith("ae_lightning"):
        return text
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}."
    if isinstance(error, MemoryError | RuntimeError | TypeError) and TOO_LARGE.search(text):
        return (
            f"model and data do not fit into memory: make them or data.batch_size smaller ({text})."
        )
    return None


def blamed(text: str, trainer: Tree) -> str:
    """Begin a sentence on a trainer that cannot be made with the option whose value it is about."""
    if any(f"`{name}" in text or f"trainer.{name}" in text for name in trainer):
        return text
    plain = re.sub(r"\W|_", "", text.lower())
    for name, value in trainer.items():
        if value is None or isinstance(value, bool):
            continue
        given = str(value.get("class_path") if isinstance(value, Mapping) else value)
        word = re.sub(r"\W|_|logger|strategy|profiler", "", given.rpartition(".")[2].lower())
        if len(word) > 2 and word in plain:
            return f"trainer.{name} is {given}: {text}"
    return text


def _raised_in(error: BaseException) -> str:
    """The name of the module that raised an error."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return str(frames[-1][0].f_globals.get("__name__", "")) if frames else ""


def root_cause(error: BaseException) -> BaseException:
    """The error that a chain of others was raised from: a UsageError, if there is one in it."""
    while not isinstance(error, UsageError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _unknown_option(given: str, options: list[str]) -> str:
    name = given.split("=")[0].lstrip("-")
    dashes = given[: len(given) - len(given.lstrip("-"))]
    if not dashes and name == given and "." not in name and name not in options:
        close = get_close_matches(name, options, n=1)
        return f"{name} is no option" + (f": did you mean {close[0]}?" if close else ".")
    head, _, rest = name.partition(".")
    heads = sorted({o.partition(".")[0] for o in options})
    if head not in heads:
        close = [".".join([h, rest] if rest else [h]) for h in get_close_matches(head, heads, n=1)]
    else:
        close = get_close_matches(name, options, n=1)
    hint = f"did you mean {dashes}{close[0]}?" if close else "--help lists all."
    return f"{dashes}{name} is no option: {hint}"


def _unknown_argument(name: str, tree: Tree, flags: list[str]) -> str:
    whole = _with_flags(tree, flags)
    shown = name
    for flag, _ in _pairs(flags):
        if flag.rpartition(".")[2] == name:
            shown = f"--{flag}"
    for path, node in _nodes(whole):
        cls = class_named(node[CLASS]) if name in node and CLASS in node else None
        if cls is not None and name not in (known := arguments_of(cls)):
            shown = shown if shown != name else ".".join([*path, name])
            return f"{shown} is no argument of {cls.__name__}: {nearest(name, known)}"
    return f"{shown} is not accepted there."


def empty_or_endless(tree: Tree, flags: list[str]) -> str | None:
    """The first argument that is null or infinite and may not be, with what it is; or None.

    The parser lets both pass.
    """
    for path, node in _nodes(_with_flags(tree, flags)):
        given = {name: v for name, v in node.items() if name != CLASS and not finite(v)}
        cls = class_named(node[CLASS]) if given and isinstance(node.get(CLASS), str) else None
        known = arguments_of(cls) if cls is not None else {}
        for name, value in given.items():
            hint = known.get(name, Any)
            kinds = {hint, *get_args(hint)}
            if isinstance(hint, str) or Any in kinds:
                continue
            option = ".".join([*path, name])
            if value is None and type(None) not in kinds:
                return f"{option} is null, and it needs a value: leave it out for its default."
            if value is not None and kinds & {int, float}:
                return f"{option} is {value}: expected a finite number."
    return None


def finite(value: Any) -> bool:
    """Whether a value is neither null nor, as a number or as text, an infinite one or none."""
    if value is None:
        return False
    try:
        text = value.replace(".inf", "inf").replace(".nan", "nan") if isinstance(value, str) else ""
        return not isinstance(value, float | str) or math.isfinite(float(text or value))
    except ValueError:
        return True


def _missing(names: str, key: str) -> str:
    first = names.split(",")[0].rpartition(".")[2].strip()
    hints = {"model": "a system, such as vae", "data": "a data set, such as digits"}
    if first in hints and not key:
        return f"--{first} is missing: name {hints[first]}, by --config, or a class by --{first}."
    return f"{key} needs {names}." if key else f"{names} is missing."


def _unknown_class(path: str, detail: str, key: str) -> str:
    if "has no attribute 'keys'" in detail:
        return f"{key} is no mapping: expected names with values."
    if found := re.search(r"module '([^']+)' has no attribute '([^']+)'", detail):
        module = locate(found[1])
        known = [n for n in dir(module) if inspect.isclass(getattr(module, n, None))]
        return f"there is no {path}: {nearest(found[2], known)}"
    return f"{key} is {path}, which cannot be imported: {detail.strip().rstrip('.')}."


def _unknown_name(name: str, key: str, block: str) -> str:
    base: type | None = None
    if found := re.search(r"Subtypes: .*?([a-z_][\w.]*\.[A-Z]\w*)", block):
        base = locate(found[1])
    elif key.endswith("optimizer"):
        base = torch.optim.Optimizer
    if base is None:
        return f"{key} is {name}: expected the dotted path of a class."
    known = [c.__name__ for c in subclasses(base) if not inspect.isabstract(c)]
    hint = nearest(name, known)
    if len(known) > MANY and "did you mean" not in hint:
        hint = f"expected one's name, such as {known[-1]}."
    return f"{key} is {name}, which is no {base.__name__}: {hint}"


def _beside_class(tree: Any, path: str = "") -> str:
    """The first name in a config that stands beside class_path, where only init_args may."""
    if not isinstance(tree, Mapping):
        return ""
    for name, node in tree.items():
        here = f"{path}.{name}" if path else name
        if "class_path" in tree and name not in ("class_path", "init_args", "dict_kwargs"):
            return here
        if found := _beside_class(node, here):
            return found
    return ""


def _reason(block: str, value: str) -> str:
    """What a value should have been, or why it could not be used."""
    errors = re.findall(r"^ *(?:- )?(\S.*)$", block.partition("Errors:")[2] or block, re.M)
    literals = [e for e in errors if e.startswith("Expected a typing.Literal")]
    if literals:
        choices = [c.strip().strip("'") for e in literals for c in e[26:].split("]")[0].split(",")]
        return nearest(value, dict.fromkeys(choices))
    expected = [re.match(r"Expected an? (?:<class ')?([\w.]+)", e) for e in errors]
    types = dict.fromkeys(found[1] for found in expected if found)
    if set(types) - {"NoneType"}:
        words = [FRIENDLY.get(t, f"one {t.rpartition('.')[2]}") for t in types]
        return f"expected {' or '.join(words)}."
    others = [e for e in errors if not re.match(r"Expected|Parser key|Does not|Subtypes|Given", e)]
    return f"{others[0].rstrip('.')}." if others else ""


def _key(message: str) -> str:
    keys = re.findall(r'Parser key "([^"]+)"', message)
    # A flag below a class is given to the class's key as a whole.
    nested = re.findall(r"Given value: NestedArg\(key='([^']*)'", message)
    return ".".join([keys[0], nested[-1]] if keys and nested else keys)


def _value(message: str) -> str:
    found = re.findall(r"Given value: NestedArg\(key='[^']*', val=(.*)\)", message)[-1:]
    found = found or re.findall(r"Got value: ([^\n]*)", message)[-1:]
    found = found or re.findall(r"Given value: ([^\n]*)", message)[:1]
    return _short(found[0].strip().strip("'")) if found else "wrong"


def _short(text: str, limit: int = 160) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[:limit]}…"


# ---------------------------------------------------------------------- configs as trees


def simplified(tree: Any) -> Any:
    """A config without init_args: each node's arguments lie beside its class, kept at CLASS.

    >>> simplified({"class_path": "A", "init_args": {"x": 1}})
    {'': 'A', 'x': 1}
    """
    if not isinstance(tree, Mapping):
        return tree
    node = {k: simplified(v) for k, v in tree.items() if k not in ("class_path", "init_args")}
    if isinstance(inner := tree.get("init_args"), Mapping):
        node |= {k: simplified(v) for k, v in inner.items()}
    if "class_path" in tree:
        node = {CLASS: tree["class_path"], **node}
    return node


def _pairs(flags: list[str]) -> Iterator[tuple[str, str]]:
    for i, flag in enumerate(flags):
        if flag.startswith("--"):
            name, equals, value = flag[2:].partition("=")
            yield name, value if equals else "".join(flags[i + 1 : i + 2])


def _with_flags(tree: Tree, flags: list[str]) -> dict[str, Any]:
    """A simplified config, with what flags set in it."""
    whole: dict[str, Any] = simplified(tree)
    for flag, value in _pairs(flags):
        path = [name for name in flag.split(".") if name != "init_args"]
        _put(whole, path, None if value in NULLS else value)
    return whole


def _put(tree: dict[str, Any], path: list[str], value: str | None) -> None:
    for name in path[:-1]:
        if not isinstance(tree.get(name), dict):
            tree[name] = {CLASS: tree[name]} if isinstance(tree.get(name), str) else {}
        tree = tree[name]
    if path[-1] == "class_path" or (value is not None and isinstance(tree.get(path[-1]), dict)):
        tree = tree if path[-1] == "class_path" else tree[path[-1]]
        tree[CLASS] = value
    else:
        tree[path[-1]] = value


def _nodes(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(tree, Mapping):
        yield path, tree
        for name, node in tree.items():
            yield from _nodes(node, (*path, name))


def subclasses(cls: type) -> Iterator[type]:
    """A class and all that derive from it, as far as they are imported."""
    yield cls
    children: list[type] = type.__subclasses__(cls)
    for child in children:
        yield from subclasses(child)


def class_named(path: str) -> type | None:
    """The class of a dotted path, or of a bare name among parts and what trainers take."""
    from lightning.pytorch import Callback
    from lightning.pytorch.loggers import Logger
    from torch.optim import Optimizer

    from ae_lightning.core.parts import Recorded

    try:
        if "." in path:
            found = locate(path)
            return found if inspect.isclass(found) else None
    except (ImportError, UsageError):
        return None
    bases = (Recorded, Optimizer, Callback, Logger)
    return next((c for b in bases for c in subclasses(b) if c.__name__ == path), None)


def arguments_of(cls: type) -> dict[str, Any]:
    """The arguments that a class takes, its bases' among them: their annotations by name."""
    names: dict[str, Any] = {}
    for base in cls.__mro__:
        if (init := vars(base).get("__init__")) is None:
            continue
        try:
            signature = inspect.signature(init, eval_str=True)
        except NameError:  # of a type that only type checkers import
            signature = inspect.signature(init)
        parameters = list(signature.parameters.values())[1:]
        for p in parameters:
            if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL):
                names.setdefault(p.name, p.annotation)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names
