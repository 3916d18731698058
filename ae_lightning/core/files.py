"""What every writer of files needs."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Fsync a directory, so that renames in it survive a power loss, if the system can do so."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
