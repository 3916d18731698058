"""Which file is in which split: by folders named so, or else by a hash of its name."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ae_lightning.core.errors import UsageError, nearest
from ae_lightning.core.printing import counted

# The names of folders, in any letter case, that are understood.
NAMES: Final = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
SPLIT_OF: Final = {name: split for split, names in NAMES.items() for name in names}
UNCLEAR: Final = {
    **dict.fromkeys(("eval", "evaluation", "holdout", "heldout", "tst"), "test"),
    **dict.fromkeys(("validate", "minival"), "val"),
    "trn": "train",
}
HINTS: Final = SPLIT_OF | UNCLEAR
WORD_END: Final = re.compile("(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # as in trainA
COMPOUND: Final = re.compile(f"({'|'.join(HINTS)})(set|data|images?|imgs?|val)?")


def hinted(name: str) -> str | None:
    """The split that a folder's name is or contains a word of.

    >>> [hinted(name) for name in ("Train_old", "val2017", "testA", "trainset", "latest")]
    ['train', 'val', 'test', 'train', None]
    """
    words = re.findall(r"[^\W\d_]+", WORD_END.sub(" ", name))
    found = (COMPOUND.fullmatch(word.casefold()) for word in words)
    return next((HINTS[match[1]] for match in found if match), None)


def folders_of(folder: Path) -> dict[str, str]:
    """The folders in a folder whose names hint at a split, and at which."""
    try:
        names = sorted(e.name for e in os.scandir(folder) if os.path.isdir(e))
    except OSError:  # which is said where it is listed
        return {}
    return {n: s for n in names if not n.startswith(".") and (s := hinted(n))}


def is_split(folder: Path, hints: dict[str, str]) -> bool:
    """Whether folders are splits: of two kinds, or of one that is alone; else they are classes.

    A class may be called train, as among vehicles; train and train_masks are no classes.
    """
    if not hints:
        return False
    visible = [e.name for e in os.scandir(folder) if os.path.isdir(e) and e.name[0] != "."]
    alone = len(visible) == len(hints) and any(name.casefold() in SPLIT_OF for name in hints)
    return len(set(hints.values())) > 1 or alone


def ready_splits(folder: Path) -> dict[str, Path]:
    """Return the folders that are splits, by split; none if the folder is not split.

    Raises:
        UsageError: if a folder looks like a split, and is not used.
    """
    hints = folders_of(folder)
    if not is_split(folder, hints):
        return {}
    found: dict[str, Path] = {}
    for name, split in hints.items():
        if SPLIT_OF.get(name.casefold()) is None:
            known = ", ".join(NAMES)
            raise UsageError(
                f"{folder / name} looks like a split, and is not one of {known}: rename it, or "
                f"move it out of {folder}."
            )
        if split in found:
            raise UsageError(
                f"{folder} holds both {found[split].name} and {name}, and only one can be the "
                f"{split} split: move the other out of it."
            )
        found[split] = folder / name
    if "train" not in found:
        raise UsageError(f"{folder} holds {' and '.join(hints)}, and no train.")
    return found


def refuse_splits(folder: Path) -> None:
    """Refuse folders that look like splits where they are not used as such.

    Raises:
        UsageError: with their names.
    """
    hints = folders_of(folder)
    if len(set(hints.values())) > 1:
        raise UsageError(
            f"{folder} holds {' and '.join(hints)}, which look like splits, and only those of "
            "data.path itself are used: name that folder, or move them."
        )


def require_enough(n: int, missing: Sequence[str], source: str) -> None:
    """Refuse to divide fewer examples than there are splits.

    Raises:
        UsageError: with how many are needed.
    """
    if n <= len(missing):
        takes = f"{' and '.join(missing)} {'take one each' if len(missing) > 1 else 'takes one'}"
        raise UsageError(
            f"{source} holds {counted(n, 'example')}, too few to divide: at least "
            f"{len(missing) + 1} are needed, since {takes}."
        )


def place_of(name: str, seed: int) -> float:
    """Return u(seed, name) in [0, 1), uniform over names.

    >>> round(place_of("a/1.png", 0), 3), round(place_of("a/1.png", 1), 3)
    (0.101, 0.662)
    """
    digest = hashlib.sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def divide(
    names: Sequence[str], wanted: Sequence[str], size: float, seed: int
) -> Iterator[tuple[str, list[int]]]:
    """Yield each wanted split and the rows of its names, and last "train" and all others.

    A name is in the first split if u < size, in the second if size ≤ u < 2 size, and so on: a
    function of the seed and itself, so that other names change nothing. If size is a number of
    names, each split has so many, those of least u. No split is empty: it takes the next name, or
    leaves one, if there would be none. Each split is in the order of u.

    Raises:
        UsageError: if nothing is left to train on.
    """
    share = size if size < 1 else size / len(names)
    if share * len(wanted) >= 1:
        raise UsageError(
            f"val_size is {size}, for {' and for '.join(wanted)}, which leaves nothing of "
            f"{counted(len(names), 'example')} to train on."
        )
    u = [place_of(name, seed) for name in names]
    order, begin = sorted(range(len(names)), key=u.__getitem__), 0
    for i, split in enumerate(wanted, start=1):
        end = sum(v < i * size for v in u) if size < 1 else begin + int(size)
        end = min(max(end, begin + 1), len(names) - len(wanted) + i - 1)
        yield split, order[begin:end]
        begin = end
    yield "train", order[begin:]


def require_split(split: str | None, known: Mapping[str, Any]) -> None:
    """Raise UsageError if a split is named that there is not."""
    if split is not None and split not in known:
        raise UsageError(f"there is no split {split!r}: {nearest(split, list(known))}")


def held_out(n: int, size: float | None) -> int:
    """Return how many of n examples to set aside for a split that does not come with them."""
    if size is None:
        return min(-(-n // 10), 5000)
    return int(size) if size >= 1 else max(1, round(size * n))
