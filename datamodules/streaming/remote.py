"""A folder in remote storage, and the part of it that is cached on this machine."""

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, Final

from ae_lightning.core.addresses import LOCAL
from ae_lightning.core.errors import UsageError
from ae_lightning.core.files import open_regular

from .litdata_names import of_litdata

BYTE_UNITS: Final = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
WAIT: Final = 0.05  # seconds between two looks whether another process has fetched a chunk
FETCH_PATIENCE: Final = 300  # seconds without a file, after which fetching is given up


def bytes_of(size: str) -> int:
    """Convert a size to bytes, or raise UsageError if it is not a size.

    >>> bytes_of("1.5GB")
    1500000000
    """
    found = re.fullmatch(r"(\d+(?:\.\d*)?) *([KMGT]B)", size.strip().upper())
    if found is None:
        raise UsageError(f"max_cache_size is {size}: expected a size such as 50GB or 500MB.")
    return int(float(found[1]) * BYTE_UNITS[found[2]])


def reason(error: Exception) -> str:
    """Return an error's message in one line, without a full stop or the file's name."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__


class Remote:
    """A folder in remote storage, whose files are fetched one by one.

    Args:
        url: the folder, in any storage that litdata reads from, such as s3://bucket/folder.

    Raises:
        UsageError: if litdata cannot read from there.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        downloader_of, unknown = of_litdata("get_downloader"), of_litdata("LocalDownloader")
        try:
            self._downloader = downloader_of(self.url, "", [], {})
        except Exception as error:  # for example, if the storage's own package is not installed
            raise UsageError(f"{url} cannot be read: {reason(error)}.") from error
        if type(self._downloader) is unknown:
            raise UsageError(
                f"{url} is in no storage that litdata reads from: expected an address such as "
                "s3://bucket/folder, gs://, azure://, hf:// or r2://."
            )

    def fetch(self, name: str, file: Path) -> None:
        """Fetch a file, unless it is here or another process is fetching it."""
        source = Path(self.url.removeprefix(LOCAL), name)
        if self.url.startswith(LOCAL) and source.exists():  # litdata would copy /dev/zero
            open_regular(source).close()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._downloader.download_file(f"{self.url}/{name}", str(file))
        except Exception as error:  # each storage raises its own
            raise UsageError(f"{self.url}/{name} cannot be fetched: {reason(error)}.") from error

    def demand(
        self, files: Mapping[str, Path], before_each: Callable[[], None] = lambda: None
    ) -> None:
        """Fetch files, given by their remote names, or wait until another process has.

        Raise UsageError if one cannot be fetched, or none arrives for too long.
        """
        last = time.monotonic()
        while missing := [name for name, file in files.items() if not file.exists()]:
            for name in missing:
                before_each()
                self.fetch(name, files[name])
            if any(files[name].exists() for name in missing):
                last = time.monotonic()
            elif time.monotonic() > last + FETCH_PATIENCE:  # litdata silently skips some errors
                raise UsageError(
                    f"{self.url}/{missing[0]} has not arrived within {FETCH_PATIENCE} s."
                )
            else:
                time.sleep(WAIT)

    def read(self, name: str, most: int) -> bytes:
        """Read a file of at most this many bytes, never from the cache."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, name)
            self.demand({name: file})
            with open_regular(file, most) as opened:
                return opened.read()


class ChunkCache:
    """The most recently used chunks of a remote folder, cached on this machine.

    Args:
        folder: the local folder, which the processes of a machine share.
        limit: how many bytes of chunks it may hold; each process that reads may fetch two more
            chunks.
    """

    def __init__(self, remote: Remote, folder: Path, limit: int) -> None:
        self.remote, self.folder, self.limit = remote, folder, limit
        self.ahead: Thread | None = None
        self._expected: list[str] = []

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"ahead": None}

    def demand(self, split: str, names: Iterable[str]) -> None:
        """Fetch those chunks of a split that are missing, each by a single process."""
        files = self._files(split, names)
        for file in files.values():
            with suppress(FileNotFoundError):  # its mtime says whether it has changed: see Chunks
                os.utime(file, ns=(time.time_ns(), file.stat().st_mtime_ns))
        self.remote.demand(files, lambda: self.make_room(keep=files.values()))

    def refetch(self, split: str, name: str) -> None:
        """Fetch a chunk in place of what is cached, if anything is."""
        for file in self._files(split, [name]).values():
            with suppress(OSError):
                file.unlink()
        self.demand(split, [name])

    def fetch_ahead(self, split: str, names: Iterable[str]) -> None:
        """Fetch chunks that will be wanted, in the background, after those requested earlier."""
        names = list(names)
        if names != self._expected and not (self.ahead and self.ahead.is_alive()):
            files, self._expected = self._files(split, names), names
            self.ahead = Thread(target=self._fetch_each, args=(files,), daemon=True)
            self.ahead.start()

    def _fetch_each(self, files: Mapping[str, Path]) -> None:
        with suppress(UsageError):  # whoever wants the chunk will meet it too
            for name, file in files.items():
                if not file.exists():
                    self.make_room(keep=files.values())
                    self.remote.fetch(name, file)

    def _files(self, split: str, names: Iterable[str]) -> dict[str, Path]:
        return {f"{split}/{name}": self.folder / split / name for name in names}

    def make_room(self, keep: Iterable[Path]) -> None:
        """Drop the least recently used chunks, down to the limit."""
        found, kept = [], set(keep)
        for file in self.folder.glob("*/chunk-*.bin"):
            with suppress(FileNotFoundError):
                status = file.stat()
                found.append((status.st_atime_ns, status.st_size, file))
        held = sum(size for _, size, _ in found)
        for _, size, file in sorted(found):
            if held <= self.limit:
                return
            if file not in kept:
                file.unlink(missing_ok=True)  # a process that has it open can go on reading
                held -= size
