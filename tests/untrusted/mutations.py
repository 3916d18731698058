"""What a stranger may write into a checkpoint: every place of one, and what can stand there.

`mutations` lists them one by one, `mutate` draws them at random, and `write` seals one as an
attacker would, who can compute a digest too.
"""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Final

import torch
from torch import Tensor

from ae_lightning.training.checkpoint_io import AtomicCheckpointIO
from helpers.attack import CANARY

Tree = dict[str, Any]  # what a checkpoint holds
Place = tuple[Any, ...]  # the keys that lead to a value
DROPPED: Final = object()

CLASS: Final = f"{CANARY}.Thing"
LOOPED: list[Any] = []
LOOPED.append(LOOPED)


def deep(depth: int = 200) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def multiplying(doublings: int = 40) -> Any:
    """A list that holds one list twice, and so on: small, until it is spelt out."""
    value: Any = [1]
    for _ in range(doublings):
        value = [value, value]
    return value


# Values that are wrong nearly everywhere, by name.
ODD: Final[dict[str, Any]] = {
    **{"null": None, "true": True, "zero": 0, "minus one": -1, "half": 0.5, "1e12": 10**12},
    **{"1e30": 10**30, "nan": float("nan"), "inf": float("inf"), "no text": "", "text": "text"},
    **{"control": "\x1b[31m\x00", "long": "x" * 10**5, "class": CLASS, "path": "../../outside"},
    **{"empty list": [], "list": [1, "a"], "empty dict": {}, "dict": {"a": 1}, "set": {1}},
    **{"node": {"class_path": CLASS, "init_args": {}}, "bytes": bytearray(3), "complex": 1j},
    **{"looped": LOOPED, "deep": deep(), "multiplying": multiplying()},
    **{"tensor": torch.ones(3), "number": torch.tensor(1.0), "text keys": {1: 2, "": None}},
}


def not_finite(x: Tensor) -> Tensor:
    return torch.full_like(x, float("nan"))


def negative(x: Tensor) -> Tensor:
    return -torch.ones_like(x)


# What can become of a tensor; one that fails does not apply to it.
TENSORS: Final[dict[str, Callable[[Tensor], Any]]] = {
    "nan": not_finite,
    "inf": lambda x: torch.full_like(x, float("inf")),
    "negative": negative,
    "empty": lambda x: x.new_empty(0),
    "longer": lambda x: torch.cat([x.flatten(), x.flatten()]),
    "one more axis": lambda x: x[None],
    "flat": lambda x: x.reshape(-1) if x.ndim > 1 else x.reshape(-1, 1),
    "transposed": lambda x: x.mT if x.ndim > 1 and x.shape[-1] != x.shape[-2] else x[None, None],
    "whole numbers": lambda x: x.long() if x.is_floating_point() else x.float(),
    "complex": lambda x: x.to(torch.complex64),
    "sparse": lambda x: x.to_sparse(),
    "quantized": lambda x: torch.quantize_per_tensor(x.float(), 0.1, 0, torch.qint8),
    "expanded": lambda x: x.new_ones(1).expand(x.shape if x.numel() > 1 else (2,)),
    "huge": lambda x: x.new_ones(1).expand(10**6, 10**6, 10**3),
    "on no device": lambda x: x.to("meta"),
    "a number": lambda x: float(x.flatten()[0]),
}


def places(tree: Any, place: Place = ()) -> Iterator[Place]:
    """Every place in a tree but its root."""
    keys = tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield (*place, key)
        yield from places(tree[key], (*place, key))


def value_at(tree: Any, place: Place) -> Any:
    for key in place:
        tree = tree[key]
    return tree


def replaced(tree: Any, place: Place, value: Any) -> Any:
    """A copy of a tree, of its containers on the way only, with another value at a place."""
    if not place:
        return value
    changed = copy.copy(tree)
    key, *rest = place
    if value is DROPPED and not rest:
        del changed[key]
    else:
        changed[key] = replaced(tree[key], tuple(rest), value) if rest else value
    return changed


def values_for(value: Any) -> dict[str, Any]:
    """What can stand in place of a value, by name."""
    found = {"dropped": DROPPED, **ODD}
    if isinstance(value, Tensor):
        for name, make in TENSORS.items():
            try:
                found[f"tensor {name}"] = make(value)
            except RuntimeError:
                continue
    return found


def named(place: Place, what: str) -> str:
    return f"{'/'.join(map(str, place))}: {what}"


def mutations(tree: Tree) -> Iterator[tuple[str, Place, Any]]:
    """Every mutation of a tree: its name, the place, and what then stands there."""
    for place in places(tree):
        for what, value in values_for(value_at(tree, place)).items():
            yield named(place, what), place, value


def mutate(tree: Tree, random: Random, times: int = 1) -> tuple[str, Tree]:
    """A random mutation of a tree, or several, and their names."""
    names = []
    for _ in range(times):
        if not (everywhere := list(places(tree))):
            break
        depth = random.choice(sorted({len(place) for place in everywhere}))
        place = random.choice([p for p in everywhere if len(p) == depth])
        what, value = random.choice(list(values_for(value_at(tree, place)).items()))
        names.append(named(place, what))
        tree = replaced(tree, place, value)
    return "; ".join(names), tree


def write(tree: Any, *files: Path) -> None:
    """Write a checkpoint in place of files, whole and sealed."""
    for file in files:
        file.unlink(missing_ok=True)  # two names may be one file
        AtomicCheckpointIO().save_checkpoint(tree, file)
