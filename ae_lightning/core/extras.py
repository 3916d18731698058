"""Packages that not every user needs, and the extra that installs them."""

from collections.abc import Iterable
from importlib import import_module

from ae_lightning.core.errors import UsageError


def require_packages(what: str, extra: str, packages: Iterable[str], otherwise: str = "") -> None:
    """Raise UsageError if a package is missing that something needs.

    Args:
        otherwise: what else can be done, such as ", or take another".

    >>> require_packages("it", "knots", ["torch", "knot_theory"])
    Traceback (most recent call last):
        ...
    ae_lightning.core.errors.UsageError: it needs knot_theory: pip install 'ae-lightning[knots]'.
    """
    missing = []
    for name in packages:
        try:
            import_module(name)
        except ImportError:
            missing.append(name)
    if missing:
        cure = f"pip install 'ae-lightning[{extra}]'{otherwise}"
        raise UsageError(f"{what} needs {', '.join(missing)}: {cure}.")
