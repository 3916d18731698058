"""The files of a folder of images, by split, and their classes."""

from functools import cached_property
from pathlib import Path
from typing import Final

from ae_lightning.core.errors import UsageError
from ae_lightning.core.fingerprints import Fingerprint, digest_of

from .listing import Listing, Source, few, spelt
from .notices import Notice
from .splits import divide, folders_of, is_split, ready_splits, refuse_splits, require_enough

SHARE: Final = 0.1  # of the files, in each split that is divided from train


class DividedFolder:
    """Which files a folder holds in each split.

    Args:
        path: the folder.
        skip: whether to leave out what cannot be read.
        size: the share, or the number, of files in each split that is divided from train.
        seed: of that division.
    """

    def __init__(self, path: Path, skip: bool, size: float | None, seed: int) -> None:
        self.path, self.listing = path, Listing(path, skip)
        self.size, self.seed = SHARE if size is None else size, seed

    @cached_property
    def ready(self) -> dict[str, Path]:
        """The folders that are splits."""
        if not self.path.is_dir():
            wrong = (
                f"{self.path} is a file"
                if self.path.exists()
                else f"there is no folder {self.path}"
            )
            raise UsageError(f"{wrong}: give data.path, a folder of images.")
        return ready_splits(self.path)

    @cached_property
    def everything(self) -> list[Source]:
        """All files, in splits or not; the path may also be a file.

        Raises:
            UsageError: if there are none, or something cannot be read.
        """
        if self.path.is_file():
            return [Source(spelt(self.path.name), self.path, self.path.stat().st_size)]
        found = self.listing.images(self.path, lambda folder: None)
        self._tell(set())
        if not found:
            raise UsageError(f"{self.path} holds no images.")
        return found

    @cached_property
    def files(self) -> dict[str, list[Source]]:
        """The files of each split.

        Raises:
            UsageError: if a split would be empty, or something cannot be read.
        """
        roots = self.ready or {"train": self.path}
        files = {s: self.listing.images(root, refuse_splits) for s, root in roots.items()}
        self._tell({root.name for root in self.ready.values()})
        for split, found in files.items():
            if not found:
                raise UsageError(f"{roots[split]} holds no images.")
        missing = [split for split in ("test", "val") if split not in files]
        train = files["train"]
        if missing:
            require_enough(len(train), missing, str(roots["train"]))
            names = [source.name for source in train]
            for split, rows in divide(names, missing, self.size, self.seed):
                files[split] = [train[row] for row in rows]
        return files

    def _tell(self, used: set[str]) -> None:
        """Say what is not used, beside the splits of these names."""
        entries = sorted(p.name for p in self.path.iterdir() if p.name[0] != ".")
        beside = [name for name in entries if name not in used] if used else []
        for where, names in ((f"{self.path}, beside its splits", beside), *self.listing.left_out):
            if names:
                Notice(f"{len(names)} not used in {where}: {few(names)}.").say()

    def class_of(self, file: Source) -> str:
        """The subfolder that a file lies in; "" if it lies in the folder itself."""
        kind, *inner = file.name.split("/")[self._in_splits :]
        return kind if inner else ""

    @cached_property
    def _in_splits(self) -> bool:
        """Whether the files' names begin with those of splits, which may not all be there."""
        return is_split(self.path, folders_of(self.path))

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, by label."""
        return tuple(sorted({self.class_of(f) for files in self.files.values() for f in files}))

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Counts, classes, and digests of names and sizes."""
        told = {s: sorted((f.name, f.size) for f in files) for s, files in self.files.items()}
        return {
            "counts": {split: len(files) for split, files in told.items()},
            "classes": list(self.classes),
            "digests": {split: digest_of(files) for split, files in told.items()},
        }
