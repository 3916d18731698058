"""Files that survive a crash whole, and that show whether a byte of them has changed since.

A sealed file is a zip file, as torch writes it, whose comment is the SHA-256 of all bytes before.
"""

import hashlib
import os
import re
import secrets
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENOSPC
from itertools import count
from pathlib import Path
from typing import BinaryIO, Final

from ae_lightning.core.errors import UsageError, naming, printable

END: Final = b"PK\x05\x06"  # begins a zip file's last record: 22 bytes, and the comment
RECORD: Final = 22
ALGORITHM: Final = b"sha256:"
SEAL: Final = len(ALGORITHM) + 64
UNZIPPING: Final = (zipfile.BadZipFile, zlib.error, struct.error, OverflowError)
PARTIAL: Final = re.compile(r"\.(.+)\.[0-9a-f]{8}\.partial")  # a file that is being written


def path_of(given: str | os.PathLike[str], name: str = "a path") -> Path:
    """Return the path that a user gives, with ~ as the home directory, also where no shell sees it.

    Args:
        given: the path: as it stands in an option, a config or a Python argument.
        name: of the option or the argument, for the sentence.

    Raises:
        UsageError: if it is no path: empty, with a null character, or in the home of nobody.

    >>> path_of("~/a") == Path.home() / "a"
    True
    """
    text = os.fspath(given) if isinstance(given, str | os.PathLike) else ""
    if not text or "\0" in text:
        raise UsageError(f"{name} is {printable(repr(given), 80)}: expected a path.")
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        user = text.partition("/")[0]
        raise UsageError(
            f"{name} is {text}: there is no user {user[1:]}; write ./{user} for a file."
        )
    path = Path(expanded)
    # Of ./~/a, only ~/a is left, which Lightning would expand.
    return path.absolute() if str(path).startswith("~") else path


class DeferredErrorWriter:
    """A file whose first error in writing is kept, to be raised when all is written.

    Raised at once, torch would turn a full disk into "unexpected pos 704 vs 598".
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

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
def replacing(target: Path, sealed: bool = False) -> Iterator[DeferredErrorWriter]:
    """Write a file beside its target, fsync it, and only then move it into place.

    Several processes may do so at once: the last one wins.

    Args:
        target: the file; the former one stays if anything goes wrong. A link is replaced, and what
            it leads to stays; a folder is renamed.
        sealed: append a digest; the file must be a zip file.

    Raises:
        OSError: if the disk is full or fails.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(target)
    try:
        with naming(target, partial), create(partial) as file:
            writer = DeferredErrorWriter(file)
            yield writer
            if writer.error is not None:
                raise writer.error
            if sealed:
                seal(file)
            file.flush()
            os.fsync(file.fileno())
        put(partial, target)
        sync_folder(target.parent)
    finally:
        partial.unlink(missing_ok=True)


def put(file: Path, target: Path) -> None:
    """Move a file into the place of another; a folder that is there is set aside."""
    if target.is_dir() and not target.is_symlink():
        set_aside(target, "former")
    os.replace(file, target)


def partial_of(target: Path) -> Path:
    """Return a new name in the folder of a file, to write what will replace it: `PARTIAL`."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")


def create(file: Path) -> BinaryIO:
    """Create a file to write it, in place of whatever bears its name, and never through a link.

    Raises:
        OSError: if it cannot be created.
    """
    file.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    return open(os.open(file, flags, 0o666), "w+b")


def open_regular(file: Path, most: int | None = None) -> BinaryIO:
    """Open a regular file to read it; anything else, such as a pipe, could keep one waiting.

    Args:
        file: the file, or a link to one.
        most: how many bytes it may hold.

    Raises:
        UsageError: if it is not a regular file, or is larger.
        OSError: if it cannot be opened.
    """
    handle = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        wrong = "is not a regular file"
    elif most is not None and status.st_size > most:
        wrong = f"holds {status.st_size:,} bytes: expected at most {most:,}"
    else:
        return open(handle, "rb")
    os.close(handle)
    raise UsageError(f"{file} {wrong}.")


def read_text(file: Path, most: int) -> str:
    """Return a text file of at most this many bytes.

    Raises:
        UsageError: if it is not a regular file of UTF-8, or is larger.
        OSError: if it cannot be read.
    """
    with open_regular(file, most) as opened:
        try:
            return opened.read().decode()
        except UnicodeDecodeError:
            raise UsageError(f"{file} is not text of UTF-8.") from None


def append(file: Path, data: bytes) -> None:
    """Append to a file, all or nothing, and never through a link.

    Raises:
        OSError: if there is no such file, or it cannot be written.
    """
    flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    with open(os.open(file, flags), "ab", buffering=0) as opened:
        size = opened.seek(0, os.SEEK_END)
        try:
            if opened.write(data) < len(data):
                raise OSError(ENOSPC, os.strerror(ENOSPC))
        except OSError:
            opened.truncate(size)
            raise


def set_aside(file: Path, word: str) -> Path:
    """Rename a file or folder to the first free one of NAME.word, NAME.word-2, …, and return it.

    Raises:
        OSError: if it cannot be renamed.
    """
    for n in count(1):
        free = file.with_name(f"{file.name}.{word}" + f"-{n}" * (n > 1))
        if not os.path.lexists(free):
            return file.rename(free)
    raise AssertionError


def sync_folder(folder: Path) -> None:
    """Fsync a directory, so that renames in it survive a power loss, if the system can do so."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_text(file: Path, text: str) -> None:
    """Write a whole text file, or leave the former one."""
    write_bytes(file, text.encode())


def write_bytes(file: Path, data: bytes) -> None:
    """Write a whole file, or leave the former one."""
    with replacing(file) as opened:
        opened.write(data)


def seal(file: BinaryIO) -> None:
    """Append the digest of its bytes to an open zip file that has no comment yet."""
    file.seek(-2, os.SEEK_END)
    file.write(struct.pack("<H", SEAL))  # the length of the comment
    size = file.tell()
    file.seek(0)
    digest = _digest(file, size)
    file.seek(size)
    file.write(ALGORITHM + digest.encode())


def damage(file: Path) -> str | None:
    """Say what is wrong with a zip file, or return None if nothing is.

    Its digest tells; without one, as in a checkpoint that a plain Trainer saves, its members' sums.
    """
    try:
        with open_regular(file) as opened:
            size = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, size - RECORD - SEAL))
            tail = opened.read()
            record, comment = tail[:RECORD], tail[RECORD:]
            if record.startswith(END) and record.endswith(struct.pack("<H", SEAL)):
                opened.seek(0)
                digest = _digest(opened, size - SEAL)
                right = comment == ALGORITHM + digest.encode()
                return None if right else "its digest does not match its content"
            if tail[-RECORD:].startswith(END) and tail.endswith(b"\0\0"):
                with zipfile.ZipFile(opened) as archive:
                    member = archive.testzip()
                if member is None:
                    return None
                return f"its member {printable(member, 80)} is damaged"
    except UsageError:
        return "it is not a regular file"
    except OSError as error:
        return error.strerror or type(error).__name__
    except (*UNZIPPING, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        return printable(str(error), 160) or type(error).__name__
    return "its end is missing or damaged"


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a regular file.

    Raises:
        UsageError: if it is not a regular file.
        OSError: if it cannot be read.
    """
    with open_regular(file) as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(0)
        return _digest(opened, size)


def _digest(file: BinaryIO, size: int) -> str:
    """Return the digest of a file's next `size` bytes."""
    sum_ = hashlib.sha256()
    while size > 0 and (block := file.read(min(size, 2**20))):
        sum_.update(block)
        size -= len(block)
    return sum_.hexdigest()


def share(file: Path, name: Path) -> None:
    """Give a file a second name, replacing what bears it: by a link, or by a copy if links fail."""
    partial = partial_of(name)
    try:
        try:
            os.link(file, partial)
        except OSError:
            with file.open("rb") as source, create(partial) as copy:
                shutil.copyfileobj(source, copy)
        put(partial, name)
    finally:
        partial.unlink(missing_ok=True)
