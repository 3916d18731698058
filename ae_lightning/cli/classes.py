"""Classes by the names that configs give them."""

from typing import Any

from ae_lightning.cli.messages import family
from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import RECIPES, Recorded, locate


def class_named(name: Any) -> type | None:
    """The class of this path, or the part, optimizer or scheduler of this bare name, if any.

    >>> class_named("Adam"), class_named("ae_lightning.nn.MPL")
    (<class 'torch.optim.adam.Adam'>, None)
    """
    if not isinstance(name, str):
        return None
    if "." not in name:
        kinds = (kind for base in (Recorded, *RECIPES) for kind in family(base))
        # Of two, the more derived one: Lightning's ReduceLROnPlateau, which has a monitor.
        return next((k for k in reversed([*kinds]) if k.__name__ == name), None)
    try:
        found = locate(name)
    except (ImportError, UsageError):
        return None
    return found if isinstance(found, type) else None
