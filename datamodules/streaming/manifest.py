"""What stream.json says of streamed data, before any chunk is read."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from ae_lightning.core.errors import UsageError

from ..pairs import SPLITS

MANIFEST: Final = "stream.json"  # written last: a folder without it is incomplete
INDEX: Final = "index.json"  # litdata's own, in every split's folder
VERSION: Final = 1


@dataclass(frozen=True)
class Manifest:
    """The contents of stream.json.

    Args:
        shape: an example's shape S.
        value_range: the smallest and largest value of an element, once divided by 255.
        classes: the labels' names, in order.
        counts: how many examples each split has.
        chunk: how many examples each chunk holds; a split's last may hold fewer.
        digest: the SHA-256 of all stored examples, in order.
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
    def of(cls, text: str, file: str) -> Self:
        """Invert `text`, or raise UsageError if it is of another version, or not a manifest.

        >>> small = Manifest((1, 2, 2), (0.0, 1.0), ("a",), dict.fromkeys(SPLITS, 3), 2, "0f")
        >>> Manifest.of(small.text, "stream.json") == small
        True
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
            raise UsageError(f"{file} is of version {version}: expected version {VERSION}.")
        if not whole:
            raise UsageError(
                f"{file} is damaged: write the folder again with ae-lightning optimize."
            )
        return manifest


def chunks_of(text: str, file: str, manifest: Manifest, split: str) -> dict[str, int]:
    """Read a split's chunks from the text of litdata's index: each one's size in bytes, by name.

    Raise UsageError if they do not hold what the manifest says.
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
            f"{file} lists {sum(sizes)} examples, and {MANIFEST} {n}: copy the folder again."
        )
    return found
