"""The arguments that a class takes, and plain values as the types that it declares for them."""

import inspect
from collections.abc import Iterator, Mapping
from enum import Enum
from inspect import Parameter
from pathlib import Path, PurePath
from types import UnionType
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

COLLECTIONS: Final = (tuple, set, frozenset)  # which are recorded as lists


def parameters_of(cls: type) -> dict[str, Parameter]:
    """The arguments of a class, with those that it hands on to its bases as keywords."""
    found: dict[str, Parameter] = {}
    for base in cls.__mro__:
        init = vars(base).get("__init__")
        if inspect.isfunction(init):
            own = dict(list(inspect.signature(init).parameters.items())[1:])
            found = own | found
            if not any(p.kind is p.VAR_KEYWORD for p in own.values()):
                break
    return found


def as_declared(cls: type, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return recorded arguments as a class declares them: tuples, sets, paths and enumerations.

    >>> from ae_lightning.nn import MLP
    >>> as_declared(MLP, {"widths": [8], "activation": "ReLU"})
    {'widths': (8,), 'activation': 'ReLU'}
    """
    known = parameters_of(cls)
    return {n: _as_declared(v, known[n], cls) if n in known else v for n, v in arguments.items()}


def _as_declared(value: Any, parameter: Parameter, cls: type) -> Any:
    if not isinstance(value, str | list):
        return value
    for kind in (type(parameter.default), *kinds_of(parameter.annotation, cls)):
        if isinstance(value, kind):
            return value
        if isinstance(value, list) and kind in COLLECTIONS:
            return kind(value)
        if isinstance(value, str) and issubclass(kind, Enum) and value in kind.__members__:
            return kind[value]
        if isinstance(value, str) and issubclass(kind, PurePath):
            return Path(value)
    return value


def kinds_of(annotation: Any, cls: type) -> Iterator[type]:
    """The classes that an annotation of a class names, itself or as one of several.

    >>> list(kinds_of(Literal[8, 32] | None, int))
    [<class 'int'>, <class 'NoneType'>]
    """
    if isinstance(annotation, str):
        try:
            holder = type(
                "", (), {"__annotations__": {"it": annotation}, "__module__": cls.__module__}
            )
            annotation = get_type_hints(holder)["it"]
        except Exception:  # names that exist for type checkers only
            return
    origin = get_origin(annotation) or annotation
    if origin is Literal:
        yield from dict.fromkeys(map(type, get_args(annotation)))
        return
    if inspect.isclass(origin) and origin is not Parameter.empty and origin is not UnionType:
        yield origin
        return
    for inner in get_args(annotation):
        yield from kinds_of(inner, cls)
