"""Files that a crash leaves whole, and that show whether a byte of them has changed since.

A sealed file is a zip file, as torch writes it, whose comment is the SHA-256 of all before it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

END: Final = b"PK\x05\x06"  # starts a zip file's last record, of 22 bytes and the comment
RECORD: Final = 22
NAME: Final = b"sha256:"
SEAL: Final = len(NAME) + 64


class Forgiving:
    """A file to write to that keeps the first error, to be raised when the writer has ended.

    torch's own words for a full disk are "unexpected pos 704 vs 598".
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.error = file, None

    error: OSError | None

    def write(self, data: bytes) -> int:
        try:
            if self.error is None:
                self.file.write(data)
        except OSError as error:
            self.error = error
        return len(data)

    def flush(self) -> None:
        if self.error is None:
            self.file.flush()


@contextmanager
def replacing(target: Path, sealed: bool = False) -> Iterator[Forgiving]:
    """Write a whole file beside its target, to the disk, and only then put it in its place.

    Args:
        target: the file; the former one stays where anything goes wrong.
        sealed: end it by a digest; it must be a zip file.

    Raises:
        OSError: where the disk is full or fails.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    try:
        with partial.open("w+b") as file:
            writer = Forgiving(file)
            yield writer
            if writer.error is not None:
                raise writer.error
            if sealed:
                seal(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, target)
        sync_folder(target.parent)
    finally:
        partial.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder outlive a loss of power, where the system can be asked to."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def seal(file: BinaryIO) -> None:
    """End an open zip file without a comment by the digest of what it holds."""
    file.seek(-2, os.SEEK_END)
    file.write(struct.pack("<H", SEAL))  # the length of the comment
    size = file.tell()
    file.seek(0)
    digest = _digest(file, size)
    file.seek(size)
    file.write(NAME + digest.encode())


def damage(file: Path) -> str | None:
    """What is wrong with a zip file, or None: its digest, or its members' sums if it has none."""
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            opened.seek(max(0, size - RECORD - SEAL))
            tail = opened.read()
            record, comment = tail[:RECORD], tail[RECORD:]
            if record.startswith(END) and record.endswith(struct.pack("<H", SEAL)):
                opened.seek(0)
                digest = _digest(opened, size - SEAL)
                right = comment == NAME + digest.encode()
                return None if right else "its digest does not fit what it holds"
        if tail[-RECORD:].startswith(END) and tail.endswith(b"\0\0"):
            with zipfile.ZipFile(file) as archive:
                member = archive.testzip()
            return None if member is None else f"{member} in it is damaged"
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        return str(error) or type(error).__name__
    return "its end is missing or damaged"


def _digest(file: BinaryIO, size: int) -> str:
    """The digest of a file's first bytes."""
    sum_ = hashlib.sha256()
    while size > 0:
        block = file.read(min(size, 2**20))
        if not block:
            break
        sum_.update(block)
        size -= len(block)
    return sum_.hexdigest()


def share(file: Path, name: Path) -> None:
    """Give a file a second name, replacing what has it: a link, or a copy where there are none."""
    partial = name.with_name(f".{name.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        try:
            os.link(file, partial)
        except OSError:
            shutil.copyfile(file, partial)
        os.replace(partial, name)
    finally:
        partial.unlink(missing_ok=True)
