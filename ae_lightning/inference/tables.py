"""Tables as files: Parquet and CSV a batch at a time, arrays as .npz."""

from collections.abc import Callable, Iterable
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

import numpy as np

from ae_lightning.core.errors import UsageError, nearest
from ae_lightning.core.extras import require_packages

if TYPE_CHECKING:
    from pandas import DataFrame


class Rows(Protocol):
    """Some rows of a table, such as `Codes`."""

    @property
    def path(self) -> list[str]: ...
    def frame(self) -> "DataFrame": ...
    def arrays(self) -> dict[str, Any]: ...


def write_csv(file: BinaryIO, parts: Iterable[Rows]) -> int:
    """Write a row for each example, and return how many there are."""
    text, rows = TextIOWrapper(file, encoding="utf-8", newline="", write_through=True), 0
    for part in parts:
        part.frame().to_csv(text, header=rows == 0, index=False)
        rows += len(part.path)
    text.detach()
    return rows


def write_parquet(file: BinaryIO, parts: Iterable[Rows]) -> int:
    """Write a row for each example, and return how many there are."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    writer, rows = None, 0
    for part in parts:
        frame = part.frame()
        if writer is None:
            first = pyarrow.Table.from_pandas(frame, preserve_index=False)
            writer = ParquetWriter(file, first.schema)
        writer.write_table(pyarrow.Table.from_pandas(frame, writer.schema, preserve_index=False))
        rows += len(frame)
    if writer is not None:
        writer.close()
    return rows


def write_npz(file: BinaryIO, parts: Iterable[Rows]) -> int:
    """Write the arrays of all parts, each by its name, and return their length."""
    each = [part.arrays() for part in parts]
    whole: dict[str, Any] = {
        name: np.concatenate([arrays[name] for arrays in each]) for name in each[0]
    }
    np.savez(file, **whole)
    return len(whole["path"])


WRITERS: Final[dict[str, Callable[[BinaryIO, Iterable[Rows]], int]]] = {
    ".parquet": write_parquet,
    ".npz": write_npz,
    ".csv": write_csv,
}


def writer_of(path: Path) -> Callable[[BinaryIO, Iterable[Rows]], int]:
    """What writes a file of this suffix.

    Raises:
        UsageError: if nothing does, or it needs a package that is not installed.
    """
    if path.suffix not in WRITERS:
        raise UsageError(f"out is {path}: {nearest(path.suffix, WRITERS)}")
    if path.suffix == ".parquet":
        other = ", or write a .csv or .npz file"
        require_packages(str(path), "parquet", ["pyarrow"], other)
    return WRITERS[path.suffix]
