"""Plain values and plain tensors: all that a checkpoint may hold."""

import math
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError, printable

DEEPEST: Final = 50
LONGEST_TEXT: Final = 10**5


def check_values(tree: Any, source: object, most: int) -> None:
    """Refuse all but plain values and plain tensors, and those that are too many or too deep.

    Raises:
        UsageError: naming the first place that is wrong.
    """
    if spelt_out(tree, {}) > most:
        raise UsageError(f"{source} holds more than {most:,} values, or contains itself.")
    for place, value in values_of(tree, ()):
        if wrong := odd(value):
            where = printable(".".join(place), 120)
            raise UsageError(f"{source}: {where or 'its content'} {wrong}.")


def spelt_out(tree: Any, known: dict[int, float]) -> float:
    """How many values a tree would hold if each were written at every place that it stands at."""
    if not isinstance(tree, dict | list | tuple):
        return 1
    if id(tree) not in known:
        known[id(tree)] = math.inf  # if it contains itself
        inner = tree.values() if isinstance(tree, dict) else tree
        known[id(tree)] = 1 + sum(spelt_out(value, known) for value in inner)
    return known[id(tree)]


def values_of(tree: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All values of a tree, containers apart, and the keys that lead to each."""
    if not isinstance(tree, dict | list | tuple) or len(place) > DEEPEST:
        yield place, tree
        return
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield from values_of(value, (*place, str(key)))
        if type(key) not in (str, int):
            yield place, key


def odd(value: Any) -> str | None:
    """Say what is wrong with a value that is neither plain nor a plain tensor, or return None."""
    if isinstance(value, dict | list | tuple):
        return f"is nested more than {DEEPEST} deep"
    if isinstance(value, Tensor):
        return odd_tensor(value)
    if isinstance(value, str):
        return f"holds {len(value):,} characters" if len(value) > LONGEST_TEXT else None
    if type(value) is int and abs(value) >= 2**63:
        return f"is a number of {value.bit_length()} bits: expected at most 63"
    if value is None or type(value) in (bool, int, float):
        return None
    return f"is a {type(value).__name__}: expected plain values and tensors"


def odd_tensor(x: Tensor) -> str | None:
    """Say why a tensor is not a plain one that fills its own memory, or return None."""
    if x.layout is not torch.strided or x.is_quantized or x.is_complex() or x.is_nested:
        return "is a sparse, quantized, complex or nested tensor: expected a plain one"
    if x.is_meta:
        return "is a tensor without values"
    if x.numel() * x.element_size() > x.untyped_storage().nbytes() or overlaps(x):
        return f"is a tensor of shape {tuple(x.shape)} whose elements share memory"
    return None


def overlaps(x: Tensor) -> bool:
    """Whether elements of a tensor may share memory: a stride within what lies inside it."""
    extent = 1
    for stride, size in sorted(zip(x.stride(), x.shape, strict=True)):
        if size > 1:
            if stride < extent:
                return True
            extent = stride * size
    return False
