"""A folder in a storage far away, and what of it is kept here."""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, Final

from ae_lightning.core.errors import UsageError

UNITS: Final = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
WAIT: Final = 0.05  # seconds until it is looked again whether another process has fetched a chunk
PATIENCE: Final = 300  # seconds


def litdata() -> Any:
    """litdata, which only streamed data need.

    Raises:
        UsageError: where it is not installed.
    """
    try:
        import litdata
        import litdata.streaming.downloader
        import litdata.utilities.dataset_utilities
    except ImportError:
        raise UsageError("streaming needs litdata: pip install 'ae-lightning[stream]'.") from None
    return litdata


def bytes_of(size: str) -> int:
    """How many bytes a size is.

    >>> bytes_of("1.5GB")
    1500000000

    Raises:
        UsageError: where it is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d*)?) *([KMGT]B)", size.strip().upper())
    if found is None:
        raise UsageError(f"max_cache_size is {size}: expected a size such as 50GB or 500MB.")
    return int(float(found[1]) * UNITS[found[2]])


def reason(error: Exception) -> str:
    """What an error says, in one line without its full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


class Remote:
    """A folder far away, kept in a folder here as far as there is room.

    Args:
        url: the folder, in any storage that litdata reads from, such as s3://bucket/folder.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        downloader = litdata().streaming.downloader
        try:
            self._downloader = downloader.get_downloader(self.url, "", [], {})
        except Exception as error:  # such as a storage's own package, where it is not installed
            raise UsageError(f"{url} cannot be read: {reason(error)}.") from error
        if type(self._downloader) is downloader.LocalDownloader:
            known = ", ".join(downloader._DOWNLOADERS)
            raise UsageError(f"{url} is in no storage that litdata reads from: expected {known}.")

    def fetch(self, name: str, file: Path) -> None:
        """Fetch a file, unless it is there or another process is fetching it.

        Raises:
            UsageError: where it cannot be fetched.
        """
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._downloader.download_file(f"{self.url}/{name}", str(file))
        except Exception as error:  # each storage has its own
            raise UsageError(f"{self.url}/{name} cannot be fetched: {reason(error)}.") from error

    def demand(
        self, files: Mapping[str, Path], before_each: Callable[[], None] = lambda: None
    ) -> None:
        """Fetch files, by their names far away, or wait until another process has.

        Raises:
            UsageError: where one cannot be fetched, or none comes for long.
        """
        last = time.monotonic()
        while missing := [name for name, file in files.items() if not file.exists()]:
            for name in missing:
                before_each()
                self.fetch(name, files[name])
            if any(files[name].exists() for name in missing):
                last = time.monotonic()
            elif time.monotonic() > last + PATIENCE:  # litdata passes over some errors
                raise UsageError(f"{self.url}/{missing[0]} has not come within {PATIENCE} s.")
            else:
                time.sleep(WAIT)

    def text(self, name: str) -> str:
        """Read a small file anew."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, name)
            self.demand({name: file})
            return file.read_text()


class Cache:
    """What is kept here of a remote folder: the chunks that were last used.

    Args:
        remote: the folder far away.
        folder: the folder here, which processes of one machine share.
        limit: how many bytes of chunks it may hold; each process that reads may fetch two more.
    """

    def __init__(self, remote: Remote, folder: Path, limit: int) -> None:
        self.remote, self.folder, self.limit = remote, folder, limit
        self.ahead: Thread | None = None
        self._expected: list[str] = []

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"ahead": None}

    def demand(self, split: str, names: Iterable[str]) -> None:
        """Fetch those chunks of a split that are missing, each by one process alone."""
        files = self._files(split, names)
        for file in files.values():
            with suppress(FileNotFoundError):
                os.utime(file)
        self.remote.demand(files, lambda: self.make_room(keep=files.values()))

    def fetch_ahead(self, split: str, names: Iterable[str]) -> None:
        """Fetch chunks that will be wanted in the background, after those asked for before."""
        names = list(names)
        if names != self._expected and not (self.ahead and self.ahead.is_alive()):
            files, self._expected = self._files(split, names), names
            self.ahead = Thread(target=self._fetch_each, args=(files,), daemon=True)
            self.ahead.start()

    def _fetch_each(self, files: Mapping[str, Path]) -> None:
        with suppress(UsageError):  # who wants the chunk will meet it too
            for name, file in files.items():
                if not file.exists():
                    self.make_room(keep=files.values())
                    self.remote.fetch(name, file)

    def _files(self, split: str, names: Iterable[str]) -> dict[str, Path]:
        return {f"{split}/{name}": self.folder / split / name for name in names}

    def make_room(self, keep: Iterable[Path]) -> None:
        """Drop what was used longest ago, down to the limit."""
        found, kept = [], set(keep)
        for file in self.folder.glob("*/chunk-*.bin"):
            with suppress(FileNotFoundError):
                status = file.stat()
                found.append((status.st_mtime_ns, status.st_size, file))
        held = sum(size for _, size, _ in found)
        for _, size, file in sorted(found):
            if held <= self.limit:
                return
            if file not in kept:
                file.unlink(missing_ok=True)  # who has it open goes on reading
                held -= size
