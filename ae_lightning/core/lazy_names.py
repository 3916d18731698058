"""Names of a package that load on first use."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazily(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a package.

    Args:
        package: its name.
        homes: the names that each of its modules holds.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package} has no attribute {name}")
        return getattr(import_module(f"{package}.{home_of[name]}"), name)

    def list_all() -> list[str]:
        return sorted([*vars(sys.modules[package]), *home_of])

    return get, list_all
