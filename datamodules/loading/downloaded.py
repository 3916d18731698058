"""Data sets that torchvision downloads once, to a folder."""

import math
import os
import socket
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ae_lightning.core.errors import UsageError
from ae_lightning.core.files import path_of

from ..pairs import PairDataModule
from .datasets import Examples, InMemory

TIMEOUT: Final = 30.0  # seconds of silence before giving up a download


class Downloaded(PairDataModule):
    """The data set of torchvision's that has this class's name, with its own test set.

    Args:
        root: the folder that holds the data set's own folder; if None, the environment variable
            AE_DATA, or "data" without it.
        download: whether to fetch missing files.
        common: the arguments of `PairDataModule`.

    Raises:
        UsageError: on loading, if files are damaged, or missing and cannot be downloaded.
    """

    def __init__(self, root: str | None = None, download: bool = True, **common: Any) -> None:
        if root is None and not os.environ.get("AE_DATA"):
            self.arguments["root"] = "data"
        super().__init__(**common)
        given = (os.environ.get("AE_DATA") or "data") if root is None else root
        self.root = path_of(given, "AE_DATA" if root is None else "data.root")
        self.download = download

    @property
    @abstractmethod
    def files(self) -> list[Path]:
        """The files that the data set is read from, all in one folder."""

    def dataset(self, train: bool = False, download: bool = False) -> Any:
        """Open torchvision's data set of this class's name."""
        from torchvision import datasets

        kind = getattr(datasets, type(self).__name__)
        return kind(self.root, train=train, download=download)

    @abstractmethod
    def check(self) -> None:
        """Raise a UsageError that names the first damaged file, if any."""

    @abstractmethod
    def in_memory(self, dataset: Any) -> InMemory:
        """Return the images (N, C, H, W) and labels of torchvision's dataset."""

    def prepare_data(self) -> None:
        """Download missing files, or raise UsageError if they cannot or must not be downloaded."""
        name, folder = type(self).__name__, self.files[0].parent
        if all(file.is_file() for file in self.files):
            return
        by_hand = f"put {', '.join(file.name for file in self.files)} in {folder}"
        if not self.download:
            raise UsageError(f"{name} is not in {folder}: {by_hand}, or set download to true.")
        timeout = socket.getdefaulttimeout()
        socket.setdefaulttimeout(TIMEOUT)  # by default, a silent connection would hang
        try:
            self.dataset(download=True)
        except (RuntimeError, OSError, EOFError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise UsageError(
                f"{name} could not be downloaded ({reason}): {by_hand}, "
                "or train on --config digits, which needs no download."
            ) from error
        finally:
            socket.setdefaulttimeout(timeout)

    def read(self) -> Mapping[str, Examples]:
        self.check()
        train, test = self.dataset(train=True), self.dataset(train=False)
        return {"train": self.in_memory(train), "test": self.in_memory(test)}


def check_idx(path: Path, item: tuple[int, ...]) -> int:
    """Return N of a complete IDX file of bytes of shape (N, *item); if it is not one, UsageError.

    The header is 0, 0, 8 (for bytes), the number of axes, and each axis's length in 4 bytes.
    """
    with path.open("rb") as file:
        head = file.read(8 + 4 * len(item))
    axes = [int.from_bytes(head[i : i + 4], "big") for i in range(4, len(head), 4)]
    if head[:3] != b"\0\0\x08" or head[3:4] != bytes([len(axes)]) or tuple(axes[1:]) != item:
        shape = ", ".join(map(str, ("N", *item)))
        raise UsageError(f"{path} is not an IDX file of bytes of shape ({shape}): replace it.")
    expected, size = len(head) + math.prod(axes), path.stat().st_size
    if size != expected:
        raise UsageError(
            f"{path} is {'truncated' if size < expected else 'damaged'}: it has {size} bytes, and "
            f"its header says {expected}; delete it, and it is fetched again."
        )
    return axes[0]
