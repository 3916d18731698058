"""Names inside other libraries, which no interface of theirs promises: any release may move them.

Whoever uses one says so at import, by `private`, so that a release that has moved it is named.
"""

import inspect
import sys
from collections.abc import Mapping
from importlib.metadata import version
from itertools import chain
from pkgutil import resolve_name
from platform import python_version
from typing import Any

from ae_lightning.core.errors import UsageError


def private(place: str, *names: str) -> Any:
    """Return what stands inside another library, if it has all that is used of it.

    Args:
        place: a module, and what of it: "torch.optim:Adam".
        names: its attributes or keys, or what a class sets in `__init__`.

    Raises:
        UsageError: if the installed release has moved one of them.

    >>> private("torch.optim:Adam", "step", "param_groups").__name__
    'Adam'
    """
    module, _, name = place.partition(":")
    library = module.partition(".")[0]
    try:
        found = resolve_name(place)
    except (ImportError, AttributeError):
        gone = f"{module}.{name}".rstrip(".")
    else:
        known = {*dir(found), *set_by(found)}
        lacking = [one for one in names if one not in known]
        if not lacking:
            return found
        gone = f"{name}.{lacking[0]}".lstrip(".")
    own = library in sys.stdlib_module_names
    release = f"Python {python_version()}" if own else f"{library} {version(library)}"
    raise UsageError(
        f"{release} has no {gone}, which ae-lightning {version('ae-lightning')} needs: install an "
        f"older {release.partition(' ')[0]}, or a newer ae-lightning."
    )


def set_by(found: Any) -> set[str]:
    """The keys of a mapping, or the names that a class's `__init__` and its bases' mention."""
    if isinstance(found, Mapping):
        return {*found}
    starts = [vars(base).get("__init__") for base in getattr(found, "__mro__", ())]
    written = [inspect.unwrap(start) for start in starts if inspect.isfunction(start)]
    return {*chain.from_iterable(start.__code__.co_names for start in written)}
