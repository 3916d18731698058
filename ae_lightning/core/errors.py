"""What is said to a user who can put it right; without torch, so that it can be said at once."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(ValueError):
    """What a user can put right; the command line prints its one sentence and exits with 2."""


class TrainingError(RuntimeError):
    """What ends a training that was rightly begun; the command line prints it and exits with 1."""


class NonFiniteError(TrainingError):
    """A loss or a gradient is not finite; the weights still are those before the step."""


class SavingError(TrainingError):
    """The last state of a run could not be written."""


def nearest(name: str, known: Iterable[str]) -> str:
    """End an error about an unknown `name`: the nearest right name, or all of them.

    >>> nearest("GELUE", ["GELU", "SiLU"])
    'did you mean GELU?'
    """
    close = get_close_matches(name, known := list(known), n=1)
    return f"did you mean {close[0]}?" if close else f"expected one of {', '.join(sorted(known))}."
