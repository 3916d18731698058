"""How an object shows itself: in a few lines of text, and in a notebook as a table."""

from collections.abc import Mapping
from inspect import Parameter
from itertools import islice
from reprlib import Repr
from typing import Any, Final, TypeVar

from markupsafe import escape

from ae_lightning.core.arguments import parameters_of
from ae_lightning.core.errors import printable
from ae_lightning.core.parts import Plain, Recorded, defined_here, to_plain

Class = TypeVar("Class", bound=type)
MOST_FACTS, MOST_OF_NAME, MOST_OF_FACT, LINE = 24, 80, 160, 88  # characters, but for the first

SUPERSCRIPTS: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

_SHORT: Final = Repr()
_SHORT.maxstring = _SHORT.maxother = MOST_OF_FACT


def shown(cls: Class) -> Class:
    """Give a class a short `repr`, and a table for notebooks, of its facts by name.

    They are what its `facts()` returns, or the fields of a named tuple.
    """
    cls.__repr__ = text  # type: ignore[assignment]
    cls._repr_html_ = html  # type: ignore[attr-defined]
    return cls


def text(thing: Any) -> str:
    """Return a thing's name and facts, on one line if that is not too long."""
    facts = [f"{name}: {value}" for name, value in _first(thing)]
    name = printable(type(thing).__name__, MOST_OF_NAME)
    line = f"{name}({', '.join(facts)})"
    return line if len(line) <= LINE else "\n  ".join([name, *facts])


def html(thing: Any) -> str:
    """Return the same as a table, whatever its names contain."""
    rows = "".join(
        f'<tr><th style="text-align: left">{escape(name)}</th>'
        f'<td style="text-align: left">{escape(value)}</td></tr>'
        for name, value in _first(thing)
    )
    name = escape(printable(type(thing).__name__, MOST_OF_NAME))
    return f"<table><caption><b>{name}</b></caption>{rows}</table>"


def _first(thing: Any) -> list[tuple[str, str]]:
    """The first facts about a thing, each name and value cut to what one reads."""
    facts: Mapping[str, Any] = (thing.facts if hasattr(thing, "facts") else thing._asdict)()
    found = [
        (printable(name, MOST_OF_NAME), printable(described(value), MOST_OF_FACT))
        for name, value in islice(facts.items(), MOST_FACTS)
    ]
    more = len(facts) - len(found)
    return [*found, ("…", f"{more} more")] if more else found


def described(value: Any) -> str:
    """Return a value in a few words: an array by its type and shape, a part as it was made.

    >>> from ae_lightning.nn import MLP
    >>> import torch
    >>> described(torch.zeros(4, 2)), described(MLP([8])), described(range(9999))
    ('float32 (4, 2)', 'MLP(widths=[8])', 'range(0, 9999)')
    """
    if isinstance(value, Recorded):
        return written(value.record)
    kind = type(value).__name__
    if hasattr(value, "batch_shape"):  # a distribution
        if kind == "Independent":
            kind += f" {type(value.base_dist).__name__}"
        batch, event = tuple(value.batch_shape), tuple(value.event_shape)
        return f"{kind}, batch {batch}, event {event}"
    if hasattr(value, "shape"):
        dtype = str(getattr(value, "dtype", kind)).removeprefix("torch.")
        return f"{dtype} {tuple(value.shape)}"
    return value if isinstance(value, str) else written(value)


def written(value: Plain) -> str:
    """Return plain values as Python would write them, and a record as a call without defaults."""
    if isinstance(value, Mapping) and "class_path" in value:
        path, cls = value["class_path"], defined_here(value["class_path"])
        defaults = {} if cls is None else parameters_of(cls)
        given = [
            f"{name}={written(argument)}"
            for name, argument in value.get("init_args", {}).items()
            if not _is_default(argument, defaults.get(name))
        ]
        return f"{path.rpartition('.')[2]}({', '.join(given)})"
    return f"{value:.4g}" if isinstance(value, float) else _SHORT.repr(value)


def _is_default(value: Plain, parameter: Any) -> bool:
    if parameter is None or parameter.default is Parameter.empty:
        return False
    return bool(to_plain(parameter.default) == value)


def number(value: float) -> str:
    """Write a figure as it is printed, to four digits.

    >>> number(-0.25), number(3.4694e-17), number(1e-10)
    ('−0.25', '3.469·10⁻¹⁷', '10⁻¹⁰')
    """
    digits, _, power = f"{value:.4g}".replace("-", "−").partition("e")
    if not power:
        return digits
    raised = str(int(power.replace("−", "-"))).translate(SUPERSCRIPTS)
    return f"10{raised}" if digits == "1" else f"{digits}·10{raised}"
