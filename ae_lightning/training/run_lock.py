"""One training at a time in a run's directory: a lock that the system keeps for its owner.

It is flock(2) on a file in the run. It ends with its process, however that ends, so that none is
ever left over, and nobody has to judge whether an owner still lives; over NFS, the server keeps it.
The file says who the owner is, to those whom it keeps out.
"""

import json
import os
import socket
import stat
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Final
from weakref import WeakSet

from ae_lightning.core.distributed import launch
from ae_lightning.core.errors import UsageError, printable
from ae_lightning.core.files import read_text
from ae_lightning.core.untrusted import conform, inside

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

LOCK: Final = ".lock"
MOST: Final = 1000  # bytes that say who the owner is
GLANCE: Final = 1.0  # seconds to try for, since a rank that looks at a lock holds it for a moment
PATIENCE: Final = 30.0  # seconds that a rank waits for rank zero, which may see another disk
NO_WAITING: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class RunLock:
    """Hold the directory of a run until `release`, or until this process ends.

    Args:
        run: the directory, which exists.

    Raises:
        UsageError: naming the process that holds it.
        OSError: if the directory cannot be written.
    """

    def __init__(self, run: Path) -> None:
        self.run, self.file = run, inside(run, LOCK, run)
        self._handle: int | None = None
        deadline = time.monotonic() + GLANCE
        while not self._take():
            if time.monotonic() > deadline:
                raise in_use(run, owner_in(self.file))
            time.sleep(GLANCE / 20)
        _locks.add(self)

    def _take(self) -> bool:
        handle = os.open(self.file, os.O_RDWR | os.O_CREAT | NO_WAITING, 0o666)
        try:
            if not (locked(handle, exclusive=True) and same(handle, self.file)):
                return False
        except OSError as error:
            news = f"{self.run} cannot be locked ({error.strerror}): see that it is trained in once"
            warnings.warn(news, stacklevel=4)
        else:
            with suppress(OSError):  # on a full disk, the owner has no name
                os.ftruncate(handle, 0)
                os.pwrite(handle, json.dumps(this_process()).encode(), 0)
            self._handle, handle = handle, -1
            return True
        finally:
            if handle >= 0:
                os.close(handle)
        return True

    def release(self) -> None:
        """Give up the directory and leave no file behind, if it is held."""
        if self._handle is not None:
            with suppress(OSError):
                self.file.unlink()
            self.forget()

    def forget(self) -> None:
        """Close the file; the lock ends with the last process that has it open."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


_locks: WeakSet[RunLock] = WeakSet()


def _forget_all() -> None:
    """Let forked processes, such as a data loader's workers, hold nothing after their parent."""
    for lock in _locks:
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def await_first_rank(run: Path) -> bool:
    """Wait until rank zero, which a launcher has started apart from this process, holds a run.

    Returns:
        Whether it does; it may also keep the run on a disk that this process does not see.

    Raises:
        UsageError: if another training holds it, and so refuses rank zero.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if owner := owner_of(run):
            if owner.get("launch") == launch():
                return True
            raise in_use(run, owner)
        time.sleep(0.1)
    return False


def owner_of(run: Path) -> dict[str, str]:
    """Return what is known of the process that holds a run; nothing if none does."""
    with suppress(OSError):
        handle = os.open(run / LOCK, os.O_RDONLY | NO_WAITING)
        try:
            if not locked(handle, exclusive=False):
                return owner_in(run / LOCK)
        finally:
            os.close(handle)
    return {}


def owner_in(file: Path) -> dict[str, str]:
    """Return what a lock's file says of its owner, as far as it can be read."""
    try:
        return conform(dict[str, str], json.loads(read_text(file, MOST)), file)
    except (OSError, ValueError, RecursionError):  # UsageError is a ValueError
        return {}


def this_process() -> dict[str, str]:
    """Return what the others are told of this process."""
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return {
        "pid": str(os.getpid()),
        "host": socket.gethostname(),
        "since": since,
        "launch": launch(),
    }


def in_use(run: Path, owner: dict[str, str]) -> UsageError:
    """Return the error that names who holds a run."""
    who, hint = "another process", ""
    if {"pid", "host", "since"} <= owner.keys():
        pid, host, since = (printable(owner[key], 80) for key in ("pid", "host", "since"))
        who = f"process {pid} on {host}, which trains there since {since}"
        if host != socket.gethostname():
            hint = f"; if {host} is gone, remove {run / LOCK}"
    return UsageError(f"{run} is in use by {who}: wait for it to end, or stop it{hint}.")


def locked(handle: int, exclusive: bool) -> bool:
    """Lock an open file unless another process has; raise OSError if the system cannot do so."""
    if fcntl is None:
        raise OSError(0, "this system has no flock")
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        raise UsageError(f"a run's {LOCK} is not a regular file: remove it.")
    try:
        fcntl.flock(handle, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def same(handle: int, file: Path) -> bool:
    """Whether a file still is the one that was opened: its former owner may have removed it."""
    try:
        return os.path.samestat(os.fstat(handle), file.lstat())
    except FileNotFoundError:
        return False
