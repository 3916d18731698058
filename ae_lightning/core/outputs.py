"""What a command writes: whole or not at all, and never over something else unless it is told."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from ae_lightning.core.errors import UsageError, naming
from ae_lightning.core.files import partial_of, path_of, put, replacing


def output_path(out: str | Path, force: bool = False) -> Path:
    """Return the path that a result may be written to; to be asked before the work begins.

    Args:
        force: whether it may replace what is there.

    Raises:
        UsageError: if something is there, its folder is not, or nothing can be written to that.
    """
    path = path_of(out, "out")
    if path.name in ("", ".."):  # which names no place beside which to write
        path = Path(os.path.abspath(path))
    if not path.name:
        raise UsageError(f"out is {path}: expected the name of a file or a folder.")
    if os.path.lexists(path) and not force:
        raise UsageError(f"{path} exists: name another by --out, or add --force to replace it.")
    if not path.parent.is_dir():
        raise UsageError(f"out is {path}: there is no folder {path.parent}.")
    try:
        TemporaryFile(dir=path.parent).close()  # which has no name that a signal could leave
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise UsageError(f"out is {path}: nothing can be written there ({why}).") from None
    return path


@contextmanager
def output_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears when it is whole.

    Raises:
        UsageError: if a folder is there.
        OSError: if the disk is full or fails.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder: expected the name of a file.")
    with replacing(path) as opened:
        yield opened.file


@contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that appears when it is whole.

    If it is there already, files of the same names are replaced, and others stay.

    Raises:
        UsageError: if a file is there.
        OSError: if the disk is full or fails.
    """
    if os.path.lexists(path) and not path.is_dir():
        raise UsageError(f"{path} is a file: expected the name of a folder.")
    partial = partial_of(path)
    try:
        partial.mkdir()  # here, since a signal is met as soon as it returns
        with naming(path, partial):
            yield partial
        if not path.exists():
            partial.rename(path)
            return
        for folder, _, names in os.walk(partial):
            target = path / Path(folder).relative_to(partial)
            target.mkdir(parents=True, exist_ok=True)
            for name in sorted(names):
                put(Path(folder, name), target / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
