"""Packages that not every user needs, and the extra that installs them."""

from collections.abc import Iterable
from importlib.util import find_spec

from ae_lightning.core.errors import UsageError


def require_packages(what: str, extra: str, packages: Iterable[str]) -> None:
    """Raise UsageError if a package is missing that something needs.

    >>> require_packages("it", "knots", ["torch", "knot_theory"])
    Traceback (most recent call last):
        ...
    ae_lightning.core.errors.UsageError: it needs knot_theory: pip install 'ae-lightning[knots]'.
    """
    if missing := [name for name in packages if find_spec(name) is None]:
        raise UsageError(f"{what} needs {', '.join(missing)}: pip install 'ae-lightning[{extra}]'.")
