"""Classes by the names that configs give them, and the arguments that they take."""

import inspect
from collections.abc import Iterator
from inspect import Parameter
from typing import Any

from torch.optim import Optimizer

from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import Recorded, locate


def class_named(name: Any) -> type | None:
    """The class of this path, or the part or the optimizer of this bare name, if there is one.

    >>> class_named("Adam"), class_named("ae_lightning.nn.MPL")
    (<class 'torch.optim.adam.Adam'>, None)
    """
    if not isinstance(name, str):
        return None
    if "." not in name:
        kinds = (kind for base in (Recorded, Optimizer) for kind in family(base))
        return next((kind for kind in kinds if kind.__name__ == name), None)
    try:
        found = locate(name)
    except (ImportError, UsageError):
        return None
    return found if isinstance(found, type) else None


def family(cls: type) -> Iterator[type]:
    """A class and all that derive from it, as far as they are imported and can be built."""
    yield from () if inspect.isabstract(cls) else (cls,)
    yield from (kin for child in list[type](type.__subclasses__(cls)) for kin in family(child))


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
