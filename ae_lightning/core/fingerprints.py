"""What data were: enough to tell others from them, wherever they lie now."""

import hashlib
from collections.abc import Iterable, Iterator

from typing_extensions import TypedDict

from ae_lightning.core.errors import printable
from ae_lightning.core.printing import counted


class Fingerprint(TypedDict):
    """What a run records of data that its arguments do not determine.

    Args:
        counts: how many files or examples each split has.
        classes: the labels' names, in order.
        digests: of the content, or of names and sizes, by what it is of.
    """

    counts: dict[str, int]
    classes: list[str]
    digests: dict[str, str]


def digest_of(items: Iterable[object]) -> str:
    """Return the SHA-256 of items, one after another, as text, or the bytes of a view.

    >>> digest_of(["a", 1])[:8], digest_of([])[:8]
    ('8bf19097', 'e3b0c442')
    """
    sum_ = hashlib.sha256()
    for item in items:
        if isinstance(item, memoryview):
            sum_.update(item)
        else:
            sum_.update(f"{item}\0".encode(errors="surrogateescape"))
    return sum_.hexdigest()


def changes(old: Fingerprint, new: Fingerprint) -> Iterator[str]:
    """Say what differs between data, but for what follows from what was said.

    >>> one = Fingerprint(counts={"train": 8}, classes=["a", "b"], digests={"train": "0"})
    >>> list(changes(one, one | {"counts": {"train": 9}, "digests": {"train": "1"}}))
    ['train holds 9 examples, and held 8']
    >>> list(changes(one, one | {"classes": ["a", "c"]}))
    ['the class c is new', 'the class b is gone']
    """
    for split in old["counts"] | new["counts"]:
        was, is_ = old["counts"].get(split, 0), new["counts"].get(split, 0)
        if was != is_:
            yield f"{split} holds {counted(is_, 'example')}, and held {was:,}"
    for name, where, word in (("new", new, old), ("gone", old, new)):
        for one in [c for c in where["classes"] if c not in word["classes"]][:3]:
            yield f"the class {printable(one, 40)} is {name}"
    same = old["counts"] == new["counts"]
    changed = [k for k, v in new["digests"].items() if v != old["digests"].get(k)]
    if same and changed:
        yield f"as many, but others, are in {', '.join(changed)}"
    elif old["classes"] != new["classes"] and {*old["classes"]} == {*new["classes"]}:
        yield "the classes are in another order"
