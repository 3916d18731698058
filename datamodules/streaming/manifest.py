"""What is known of streamed data before any chunk is read: stream.json, beside a folder a split."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from ae_lightning.core.errors import UsageError

MANIFEST: Final = "stream.json"  # written last: a folder without it is not whole
INDEX: Final = "index.json"  # litdata's own, in every split's folder
SPLITS: Final = ("train", "val", "test")
VERSION: Final = 1


@dataclass(frozen=True)
class Manifest:
    """The contents of stream.json.

    Args:
        shape: an example's shape S.
        value_range: the smallest and largest value of an element, once it is divided by 255.
        classes: the labels' names, in order.
        counts: how many examples each split has.
        chunk: how many examples each chunk holds, but for a split's last, which may hold fewer.
        digest: the SHA-256 of all that is stored, in its order.
    """

    shape: tuple[int, ...]
    value_range: tuple[float, float]
    classes: tuple[str, ...]
    counts: Mapping[str, int]
    chunk: int
    digest: str

    @property
    def text(self) -> str:
        return json.dumps({"version": VERSION, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def of(cls, text: str, file: str) -> Manifest:
        """Invert `text`.

        >>> small = Manifest((1, 2, 2), (0.0, 1.0), ("a",), dict.fromkeys(SPLITS, 3), 2, "0f")
        >>> Manifest.of(small.text, "stream.json") == small
        True

        Raises:
            UsageError: where the text is of another version, or of no manifest.
        """
        try:
            tree: Any = json.loads(text)
            version = tree.pop("version")
            tree |= {name: tuple(tree[name]) for name in ("shape", "value_range", "classes")}
            manifest = cls(**tree)
            whole = manifest.chunk > 0 and all(manifest.counts[split] > 0 for split in SPLITS)
        except (ValueError, TypeError, KeyError, AttributeError):
            whole, version = False, VERSION
        if version != VERSION:
            raise UsageError(f"{file} is of version {version}, and this reads version {VERSION}.")
        if not whole:
            raise UsageError(f"{file} is damaged: write the folder anew by ae-lightning optimize.")
        return manifest


def chunks_of(text: str, file: str, manifest: Manifest, split: str) -> dict[str, int]:
    """The files of a split's chunks, in order, and how many bytes each has.

    Args:
        text: litdata's index of them.
        file: where it was read.

    Raises:
        UsageError: where they do not hold what the manifest says.
    """
    try:
        chunks = json.loads(text)["chunks"]
        sizes = [int(chunk["chunk_size"]) for chunk in chunks]
        found = {str(chunk["filename"]): int(chunk["chunk_bytes"]) for chunk in chunks}
    except (ValueError, TypeError, KeyError):
        raise UsageError(f"{file} is damaged: copy its folder again.") from None
    n, chunk = manifest.counts[split], manifest.chunk
    if sizes != [min(chunk, n - start) for start in range(0, n, chunk)]:
        raise UsageError(
            f"{file} tells of {sum(sizes)} examples, and {MANIFEST} of {n}: copy the folder again."
        )
    return found
