"""Which image files a folder holds, at any depth, and what else lies there."""

import os
import stat
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from ae_lightning.core.errors import printable
from ae_lightning.core.printing import counted

from .decoding import Unreadable, reason, shown
from .formats import begins_an_image, formats

FEW: Final = 3  # names in a sentence
UNREAD: Final = (".heic", ".heif", ".dcm", ".jxl", ".exr")  # images that it does not know


class Source(NamedTuple):
    """Where an example lies: an image file, and which of its frames if that was chosen.

    Args:
        name: its path below the folder, joined by slashes and as `spelt`.
        size: in bytes.
    """

    name: str
    path: Path
    size: int
    frame: int | None = None


class Listing:
    """Walk folders, and keep what is stepped over.

    Args:
        root: the folder that names are relative to.
        skip: whether to leave out what cannot be read, and not refuse it.
    """

    def __init__(self, root: Path, skip: bool = False) -> None:
        self.root, self.skip = root, skip
        self.strays: list[str] = []
        self.unreadable: list[str] = []  # each with what is wrong with it

    def images(self, folder: Path, check: Callable[[Path], None]) -> list[Source]:
        """Return the images below a folder, but hidden ones, by name.

        Args:
            check: is called with it and every folder below.

        Raises:
            UsageError: if something in it cannot be read.
        """
        found = [source for file in self._files(folder, check) for source in self._source(*file)]
        return sorted(found, key=lambda source: source.name.split("/"))

    def _files(
        self, folder: Path, check: Callable[[Path], None]
    ) -> Iterator[tuple[os.DirEntry[str], str]]:
        """Yield files, each with its path below the root."""
        begun = "" if folder == self.root else f"{folder.relative_to(self.root).as_posix()}/"
        waiting: list[tuple[Path, str, frozenset[tuple[int, int]]]] = [(folder, begun, frozenset())]
        while waiting:
            here, prefix, above = waiting.pop()
            try:
                status = here.stat()
                if (this := (status.st_dev, status.st_ino)) in above:
                    self._refuse(here, "is a link to a folder that it lies in")
                    continue
                entries = [e for e in os.scandir(here) if not e.name.startswith(".")]
            except OSError as error:
                self._refuse(here, f"cannot be listed ({reason(here, error)})")
                continue
            check(here)
            for entry in sorted(entries, key=lambda entry: entry.name):
                name = f"{prefix}{entry.name}"
                if os.path.isdir(entry):
                    waiting.append((Path(entry), f"{name}/", above | {this}))
                else:
                    yield entry, name

    def _source(self, entry: os.DirEntry[str], name: str) -> Iterator[Source]:
        """Yield an image, and note anything else."""
        path, name = Path(entry), spelt(name)
        try:
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                self._refuse(path, "is not a regular file")
            elif path.suffix.lower() in suffixes() or begins_an_image(path):
                yield Source(name, path, status.st_size)
            else:
                self.strays.append(name)
        except OSError as error:
            self._refuse(path, f"cannot be read ({reason(path, error)})")

    def _refuse(self, path: Path, wrong: str) -> None:
        error = Unreadable(f"{shown(path)} {wrong}", "mend or remove it")
        if not self.skip:
            raise error
        self.unreadable.append(error.wrong)

    @property
    def left_out(self) -> tuple[tuple[str, list[str]], ...]:
        """What is stepped over and what cannot be read, each with where it lies."""
        strays = (f"{self.root}, since they are no images", self.strays)
        return strays, (f"{self.root}, since they cannot be read", self.unreadable)


def spelt(name: str) -> str:
    r"""Spell a name alike on every system: in Unicode's composed form, with other bytes escaped.

    >>> spelt("cafe\u0301.png") == "caf\u00e9.png", spelt("a\udcff.png") == r"a\udcff.png"
    (True, True)
    """
    return unicodedata.normalize("NFC", name).encode(errors="backslashreplace").decode()


def few(names: list[str]) -> str:
    """The first few names.

    >>> few(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    shown = ", ".join(printable(name, 200) for name in names[:FEW])
    return shown if len(names) <= FEW else f"{shown} and {len(names) - FEW} more"


def left_out(wrong: list[str], n: int | None = None) -> str:
    """Say which images are left out, of n if that is known, and why.

    >>> left_out(["a.png is an empty file"])
    '1 image is left out: a.png is an empty file.'
    """
    be = "is" if len(wrong) == 1 else "are"
    what = counted(len(wrong), "image") if n is None else f"{len(wrong):,} of {counted(n, 'image')}"
    return f"{what} {be} left out: {few(wrong)}."


@cache
def suffixes() -> set[str]:
    """The suffixes of image files."""
    from PIL import Image

    known, read = Image.registered_extensions().items(), formats()
    return {s for s, kind in known if kind in read} | {*UNREAD}
