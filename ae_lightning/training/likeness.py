"""Whether a state that was saved is like the one that it is to replace."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ae_lightning.core.errors import printable


def difference(own: Any, found: Any, place: str, weights: Mapping[str, Tensor]) -> str | None:
    """Say how what was saved differs from a present state in kind, or return None.

    A dict must hold at least the same names. A list must hold as many values, unless they are
    tensors, and each must be like one of the present ones. A number must be finite if the present
    one is, and not below zero if it is a whole one that is not. What the present state does not
    know yet, being None or empty, may be any plain value; a tensor only if it is a single number,
    or like the weight of its name.

    Args:
        weights: the model's, by name.
    """
    if own is None or isinstance(own, str) or (isinstance(own, dict | list | tuple) and not own):
        like = own is None or isinstance(found, type(own))
        return unplain(found, place, weights) if like else unlike(own, found, place)
    if isinstance(own, Tensor):
        return differs(own, found, place)
    if isinstance(own, Mapping):
        if not isinstance(found, Mapping):
            return unlike(own, found, place)
        for name in own:
            if name not in found:
                return f"{place} has no {name}"
        each = ((found[k], k) for k in found)
        wrongs = (difference(own.get(k), v, f"{place}.{k}", weights) for v, k in each)
        return next(filter(None, wrongs), None)
    if isinstance(own, list | tuple):
        if not isinstance(found, list | tuple):
            return unlike(own, found, place)
        if len(own) != len(found) and not all(isinstance(o, Tensor) for o in own):
            return f"{place} holds {len(found)} values: expected {len(own)}"
        for i, value in enumerate(found):
            wrongs = (difference(o, value, f"{place}.{i}", weights) for o in own)
            if all(several := list(wrongs)):
                return several[0]
        return None
    return differing_number(own, found, place)


def differing_number(own: Any, found: Any, place: str) -> str | None:
    """Say how a number that was saved differs from a present one in kind, or return None."""
    if isinstance(found, Tensor) and found.numel() == 1 and found.is_floating_point():
        found = found.item() if isinstance(own, float) else found
    kinds = {bool: (bool,), int: (int, float), float: (float, int)}.get(type(own), ())
    if type(found) not in kinds:
        return unlike(own, found, place)
    least = min(own, 0) if type(own) is int else -math.inf
    if not found >= least or (math.isfinite(own) and not math.isfinite(found)):
        return f"{place} is {found}: expected a finite number" + " from 0" * (least == 0)
    return None


def differs(own: Tensor, found: Any, place: str) -> str | None:
    """Say how a tensor that was saved differs from a present one in kind, or return None.

    One of floating point may become one of another precision. It must be finite if the present one
    is, or if that has no values.
    """
    if not isinstance(found, Tensor):
        return unlike(own, found, place)
    if found.shape != own.shape:
        return f"{place} is of shape {tuple(found.shape)}: expected {tuple(own.shape)}"
    if found.dtype != own.dtype and not (found.is_floating_point() and own.is_floating_point()):
        return f"{place} is of type {found.dtype}: expected {own.dtype}"
    if not found.isfinite().all() and (own.is_meta or own.isfinite().all()):
        return f"{place} is not finite"
    return None


def unplain(found: Any, place: str, weights: Mapping[str, Tensor]) -> str | None:
    """Say what is not plain in a value that nothing is known of, or return None."""
    if isinstance(found, Tensor):
        name = next((n for n in weights if place.endswith(f".{n}")), None)
        if name is not None:
            return differs(weights[name], found, place)
        return None if found.numel() == 1 else f"{place} is a tensor: expected a number"
    if isinstance(found, str):
        # Some are paths, of files that will be removed when others take their place.
        clean = found.isprintable() and ".." not in found.split("/") and "://" not in found
        return None if clean else f"{place} is {printable(repr(found), 80)}: expected plain text"
    if isinstance(found, dict | list | tuple):
        entries = found.items() if isinstance(found, dict) else enumerate(found)
        wrongs = (unplain(v, f"{place}.{k}", weights) for k, v in entries)
        return next(filter(None, wrongs), None)
    return None


def unlike(own: Any, found: Any, place: str) -> str:
    """Say that a value is of another type than the present one."""
    kind = f"a {type(own).__name__}" if own is not None else "nothing"
    return f"{place} is {printable(repr(found), 60)}: expected {kind}"


def complete(own: Mapping[str, Any], found: dict[str, Any]) -> None:
    """Add the options that are newer than what was saved, which are off or unset."""
    for name, value in own.items():
        if value is None or value is False:
            found.setdefault(name, value)
