"""Parts record how they were made, so that a checkpoint can rebuild them from plain values."""

import importlib
import inspect
import math
import sys
from collections.abc import Mapping
from enum import Enum
from functools import partial, reduce
from numbers import Integral, Real
from operator import or_
from pathlib import PurePath
from typing import Any, Final, Self

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ae_lightning.core.arguments import as_declared, kinds_of, parameters_of
from ae_lightning.core.errors import UsageError, nearest, printable
from ae_lightning.core.trust import is_trusted, require_trusted
from ae_lightning.core.untrusted import conform

Plain = Any  # None, bool, int, float, str, and lists and dicts of these
Record = dict[str, Plain]
RECIPES: Final = (Optimizer, LRScheduler)  # classes that a partial of is recorded, to be made later
SCALARS: Final = (type(None), bool, int, float, str)


class Recorded:
    """Record the arguments that an object is constructed with, as plain values in `arguments`.

    `__new__` records them, since it sees exactly what `__init__` is given: a subclass needs no
    code for it, and keeps its own signature.
    """

    arguments: dict[str, Plain]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        # Copying and unpickling call __new__ without arguments, and restore `arguments` later.
        signature = inspect.signature(cls.__init__)
        bound = signature.bind_partial(self, *args, **kwargs)
        bound.apply_defaults()
        given = dict(list(bound.arguments.items())[1:])
        for name, parameter in signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                given |= given.pop(name)
            elif parameter.kind is parameter.VAR_POSITIONAL and (several := given.pop(name)):
                raise UsageError(
                    f"{cls.__name__} is given {printable(repr(several[0]), 60)} as one of *{name}, "
                    "which a checkpoint cannot record: give it by its name."
                )
        plain = {k: to_plain(v, f"{cls.__name__}.{k}") for k, v in given.items()}
        self.__dict__["arguments"] = plain
        return self

    @property
    def record(self) -> dict[str, Plain]:
        """What `rebuild` needs: `{"class_path": …, "init_args": {…}}`, as in YAML configs."""
        cls = type(self)
        return {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": self.arguments}


class Part(Recorded, nn.Module):
    """A module that an autoencoder is composed of."""

    # nn.Module's own accepts any arguments, which would be recorded.
    def __init__(self) -> None:
        super().__init__()


def to_plain(value: Any, name: str = "value") -> Plain:
    """Return `value` as plain values: parts and partials become `class_path` and `init_args`.

    Raises:
        UsageError: if a value is none of these, since a checkpoint could not rebuild it.
    """
    if isinstance(value, Enum):
        return value.name
    if value is None or isinstance(value, bool):
        return value
    # NumPy's numbers are such too, and would have to be unpickled.
    for kind, plain in {Integral: int, Real: float, str: str, PurePath: str}.items():
        if isinstance(value, kind):
            return plain(value)
    if isinstance(value, Recorded):
        return value.record
    if isinstance(value, partial):
        # jsonargparse's own partials carry the class as their last argument.
        cls = value.args[-1] if value.args else value.func
        if inspect.isclass(cls) and issubclass(cls, RECIPES):
            inner = {k: to_plain(v, f"{name}.{k}") for k, v in value.keywords.items()}
            return {"class_path": f"{cls.__module__}.{cls.__qualname__}", "init_args": inner}
    if isinstance(value, Mapping):
        return {str(k): to_plain(v, f"{name}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(v, name) for v in value]
    if isinstance(value, set | frozenset):
        return sorted((to_plain(v, name) for v in value), key=str)
    raise UsageError(
        f"{name} is a {type(value).__name__}, which a checkpoint cannot record: give plain values, "
        "a Part (a subclass of ae_lightning.Part), or functools.partial(Optimizer, lr=…), or of a "
        "learning-rate scheduler."
    )


def locate(path: str) -> Any:
    """Import the object that a dotted path names, such as a class nested in another.

    Only for a path that a user wrote, or that is trusted: importing a module runs it.

    Raises:
        UsageError: if there is no such module, or no such name in it.
    """
    module = path
    names: list[str] = []
    while module:
        try:
            found: Any = importlib.import_module(module)
            break
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            module, _, name = module.rpartition(".")
            names.insert(0, name)
    else:
        raise UsageError(f"{path} cannot be imported: no module of that name is on the path.")
    for name in names:
        if not hasattr(found, name):
            raise UsageError(f"{path}: there is no {name}; {nearest(name, dir(found))}")
        found = getattr(found, name)
    return found


def rebuild(value: Plain) -> Any:
    """Invert `to_plain`: build what a record names, innermost parts first.

    Raises:
        UsageError: if a class is not a part, or cannot be made of its recorded arguments.

    >>> from ae_lightning.nn import MLP
    >>> rebuild(MLP(widths=[8]).record).arguments["widths"]
    [8]
    """
    if isinstance(value, list):
        return [rebuild(v) for v in value]
    if not isinstance(value, Mapping):
        return value
    if "class_path" not in value:
        return {k: rebuild(v) for k, v in value.items()}
    cls = part_class(value["class_path"])
    keywords = {k: rebuild(v) for k, v in arguments_of(value).items()}
    return partial(cls, **keywords) if issubclass(cls, RECIPES) else make(cls, keywords)


def make(cls: type, keywords: dict[str, Any], others: Mapping[str, Any] | None = None) -> Any:
    """Make a part of recorded arguments, and of others that are given as they are.

    Raises:
        UsageError: if it cannot be made of them, whatever the class raises then.
    """
    check_arguments(cls, keywords)
    try:
        return cls(**as_declared(cls, keywords) | {**(others or {})})
    except UsageError:
        raise
    except Exception as error:
        why = printable(" ".join(str(error).split()) or type(error).__name__, 200).rstrip(".")
        raise UsageError(f"{cls.__name__} cannot be made of what is recorded: {why}.") from error


def check_arguments(cls: type, keywords: Mapping[str, Any]) -> None:
    """Refuse arguments that a class has not, or that should be numbers, text or parts and are not.

    Raises:
        UsageError: naming the first of them.
    """
    known = parameters_of(cls)
    for name, value in keywords.items():
        if name not in known:
            shown = printable(name, 60)
            raise UsageError(f"{cls.__name__} has no argument {shown}; {nearest(name, known)}")
        kinds = list(kinds_of(known[name].annotation, cls))
        simple = kinds and all(any(kind is one for one in SCALARS) for kind in kinds)
        if value is known[name].default:  # which may be None all the same
            continue
        if simple:
            conform(reduce(or_, kinds), value, f"{cls.__name__}.{name}")
        elif parts := [kind.__name__ for kind in kinds if issubclass(kind, Recorded)]:
            whole = float in kinds and type(value) is int
            if not (whole or isinstance(value, tuple(kinds))):
                given = printable(repr(value), 60)
                wanted = f"{' or '.join(parts)}, by its class_path"
                raise UsageError(f"{cls.__name__}.{name} is {given}: expected a {wanted}.")


def arguments_of(record: Mapping[str, Plain]) -> dict[str, Plain]:
    """Return the arguments that a record holds.

    Raises:
        UsageError: if they are not names with values.
    """
    found = record.get("init_args", {})
    if not (isinstance(found, dict) and all(isinstance(name, str) for name in found)):
        shown = printable(repr(found), 60)
        raise UsageError(f"init_args of {record['class_path']} is {shown}: expected named values.")
    return found


def part_class(path: object) -> type:
    """Return the class that a record names, importing nothing that is not trusted.

    Raises:
        UsageError: if it is not trusted, or is neither a part nor an optimizer, since a record must
            not call others.
    """
    cls = defined_here(path) or _trusted_class(path)
    if inspect.isclass(cls) and issubclass(cls, (Recorded, *RECIPES)):
        return cls
    raise UsageError(f"{path} is not a part of an autoencoder.")


def defined_here(path: object) -> type | None:
    """Return the part of this path if the program has defined or imported it itself."""
    names = path.split(".") if isinstance(path, str) else []
    for i in reversed(range(1, len(names))):
        found: Any = sys.modules.get(".".join(names[:i]))
        for name in names[i:]:
            found = getattr(found, "__dict__", {}).get(name)
        if inspect.isclass(found) and issubclass(found, Recorded):
            return found
    return None


def _trusted_class(path: object) -> Any:
    require_trusted(path)
    found = locate(str(path))
    home = getattr(found, "__module__", None)
    if inspect.isclass(found) and not is_trusted(str(home)):  # only imported where the path led
        require_trusted(f"{home}.{found.__qualname__}")
    return found


def check_record(value: Plain) -> None:
    """Refuse a record that `rebuild` would refuse, before other code builds it.

    >>> record = {"class_path": "os.remove", "init_args": {"path": "x"}}
    >>> check_record(record)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ae_lightning.core.errors.UsageError: a checkpoint names os.remove, which is not of this ...
    """
    if isinstance(value, float) and math.isnan(value):
        raise UsageError("a recorded argument is nan: expected a number.")
    if isinstance(value, Mapping):
        if "class_path" in value:
            part_class(value["class_path"])
            arguments_of(value)
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            check_record(inner)
