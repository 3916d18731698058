"""What stream.json says of streamed data, before any chunk is read.

A folder OUT holds OUT/stream.json and the chunks OUT/train/chunk-0.bin, …. A chunk is its examples,
one after the other and nothing else: each is its pixels, one byte per element in C order, and its
label, a little-endian integer of eight bytes. So whatever a chunk holds is an array.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
from pydantic import Field
from typing_extensions import TypedDict  # pydantic takes no other before Python 3.12

from ae_lightning.core.errors import UsageError, printable
from ae_lightning.core.untrusted import LONGEST_NAME, conform

from ..pairs import SPLITS

MANIFEST: Final = "stream.json"  # written last: a folder without it is incomplete
VERSION: Final = 2
MOST_CHUNKS: Final = 500_000
LARGEST_MANIFEST: Final = 64 * 2**20  # bytes, which hold the digests of as many
LARGEST_CHUNK: Final = 2000 * 10**6  # bytes
AGAIN: Final = "write the folder again with ae-lightning optimize"

Positive = Annotated[int, Field(gt=0)]
Split = Literal["train", "val", "test"]


class Contents(TypedDict):
    """What stream.json holds beside its version: see `Manifest`."""

    __pydantic_config__ = {"extra": "forbid"}  # type: ignore[misc]  # noqa: RUF012

    shape: Annotated[list[Positive], Field(min_length=1, max_length=8)]
    classes: list[str]
    counts: Annotated[dict[Split, Positive], Field(min_length=3)]
    chunk: Positive
    digests: Annotated[dict[Split, list[str]], Field(min_length=3)]


@dataclass(frozen=True)
class Manifest:
    """The contents of stream.json.

    Args:
        shape: an example's shape S.
        classes: the labels' names, in order.
        counts: how many examples each split has.
        chunk: how many examples each chunk holds; a split's last may hold fewer.
        digests: the SHA-256 of each chunk, in order, by split.
    """

    shape: tuple[int, ...]
    classes: tuple[str, ...]
    counts: Mapping[str, int]
    chunk: int
    digests: Mapping[str, tuple[str, ...]]

    @property
    def text(self) -> str:
        return json.dumps({"version": VERSION, **asdict(self)}, indent=1) + "\n"

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of all that this says, and so of the data."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @classmethod
    def of(cls, text: bytes, file: str) -> Self:
        """Invert `text`.

        Raises:
            UsageError: if it is of another version, not a manifest, or contradicts itself.

        >>> digests = {split: ("0f" * 32, "f0" * 32) for split in SPLITS}
        >>> small = Manifest((1, 2, 2), ("a",), dict.fromkeys(SPLITS, 3), 2, digests)
        >>> Manifest.of(small.text.encode(), "stream.json") == small
        True
        """
        try:
            read = json.loads(text)
        except (ValueError, RecursionError):
            raise UsageError(f"{file} is damaged: {AGAIN}.") from None
        tree = conform(dict[str, Any], read, file)
        version = tree.pop("version", None)
        if type(version) is not int or version != VERSION:
            said = printable(repr(version), 40)
            raise UsageError(f"{file} is of version {said}: {AGAIN}, for version {VERSION}.")
        contents: Any = conform(Contents, tree, file)
        digests = {split: tuple(each) for split, each in contents["digests"].items()}
        shape, classes = tuple(contents["shape"]), tuple(contents["classes"])
        manifest = cls(shape, classes, contents["counts"], contents["chunk"], digests)
        if wrong := manifest.fault():
            raise UsageError(f"{file}: {wrong}.")
        return manifest

    def fault(self) -> str | None:
        """Say what contradicts itself, is no name or is too large, or return None."""
        n = printable(str(self.chunk), 40)
        if (math.prod(self.shape) + 8) * self.chunk > LARGEST_CHUNK:
            what = f"{n} examples of shape {printable(str(list(self.shape)), 60)}"
            return f"chunks of {what} take more than {LARGEST_CHUNK:,} bytes"
        for name, times in Counter(self.classes).items():
            shown = printable(repr(name), 60)
            if not name.isprintable() or len(name) > LONGEST_NAME:
                return f"the class {shown} is not of at most {LONGEST_NAME} printable characters"
            if times > 1:
                return f"the class {shown} is listed {times} times"
        for split in SPLITS:
            digests, chunks = self.digests[split], -(-self.counts[split] // self.chunk)
            if len(digests) != chunks:
                what = f"{printable(str(self.counts[split]), 40)} {split} examples in chunks of {n}"
                return f"there are {what}, and {len(digests)} digests of chunks"
            for digest in digests:
                if not re.fullmatch("[0-9a-f]{64}", digest):
                    shown = printable(repr(digest), 80)
                    return f"the digest {shown} in {split} is not of 64 hexadecimal digits"
        return None

    def examples_in(self, split: str, c: int) -> int:
        """How many examples a chunk holds."""
        return min(self.chunk, self.counts[split] - c * self.chunk)


def example_type(shape: tuple[int, ...]) -> np.dtype[np.void]:
    """How an example is stored: its pixels, then its label."""
    return np.dtype([("x", np.uint8, shape), ("y", "<i8")])


def chunk_name(c: int) -> str:
    return f"chunk-{c}.bin"
