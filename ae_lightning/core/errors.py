"""Errors that a user can fix, told in one sentence; free of torch, so that they come at once."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from textwrap import shorten
from typing import Final

MOST_OF_NAMES: Final = 240  # characters


class UsageError(ValueError):
    """A user's mistake; the command line prints its one sentence and exits with code 2."""


class TrainingError(RuntimeError):
    """A failure of a training that began well; the command line prints it and exits with code 1."""


class NonFiniteError(TrainingError):
    """A loss or a gradient is not finite; the weights are still those from before the step."""


class SavingError(TrainingError):
    """The last state of a run could not be saved."""


@contextmanager
def naming(file: Path, partial: Path) -> Iterator[None]:
    """Name a file in an error of the disk that names none, as a full one's, or what it is made of.

    Args:
        partial: the file or folder that is to become it.
    """
    try:
        yield
    except OSError as error:
        named = error.filename
        if error.errno is not None and (named is None or str(named).startswith(str(partial))):
            error.filename = str(file)
        raise


def at_least(name: str, value: float, least: float) -> float:
    """Return a value, or raise UsageError if it is below the least that is allowed."""
    if not value >= least:
        raise UsageError(f"{name} is {value}: expected at least {least}.")
    return value


def above(name: str, value: float, bound: float = 0.0) -> float:
    """Return a value, or raise UsageError if it is not above the bound."""
    if not value > bound:
        raise UsageError(f"{name} is {value}: expected a number above {bound:.4g}.")
    return value


def one_of(name: str, value: object, known: Iterable[object]) -> None:
    """Raise UsageError if a value is none of those that are known."""
    if value not in (known := list(known)):
        raise UsageError(f"{name} is {value!r}: {nearest(str(value), map(str, known))}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error about an unknown `name`: the nearest known name, or all that fit.

    >>> nearest("GELUE", ["GELU", "SiLU"])
    'did you mean GELU?'
    """
    names = shorten(", ".join(sorted(known := list(known))), MOST_OF_NAMES, placeholder=" …")
    if not known:
        return "there are none here."
    close = closest(name, known)
    return f"did you mean {close}?" if close else f"expected one of {names}."


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is spelt most like a name, or whose capitals it is, or None.

    >>> closest("VAE", ["SparseAutoEncoder", "VariationalAutoEncoder"])
    'VariationalAutoEncoder'
    """
    known = list(known)
    capitals = ["".join(filter(str.isupper, one)) for one in known]
    meant = [one for one, short in zip(known, capitals, strict=True) if short == name.upper()]
    close = meant[:1] or get_close_matches(name, known, n=1)
    return close[0] if close and name else None


def printable(text: str, most: int = 400) -> str:
    r"""Return text that a terminal shows as it is: control characters escaped, the middle cut out.

    >>> print(printable("a\x1b[31m\nb"))
    a\x1b[31m\nb
    >>> printable("0123456789", 5)
    '01…89'
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    half = most // 2
    return shown if len(shown) <= most else f"{shown[: most - half - 1]}…{shown[-half:]}"
