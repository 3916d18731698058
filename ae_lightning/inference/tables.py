"""Tables as files: Parquet and CSV a batch at a time, arrays as .npz."""

from collections.abc import Callable, Iterable
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np

from ae_lightning.core.errors import UsageError, nearest
from ae_lightning.inference.codes import Codes, together


def write_csv(file: BinaryIO, parts: Iterable[Codes]) -> int:
    """Write a row for each example, and return how many there are."""
    text, rows = TextIOWrapper(file, encoding="utf-8", newline="", write_through=True), 0
    for part in parts:
        part.frame().to_csv(text, header=rows == 0, index=False)
        rows += len(part.path)
    text.detach()
    return rows


def write_parquet(file: BinaryIO, parts: Iterable[Codes]) -> int:
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


def write_npz(file: BinaryIO, parts: Iterable[Codes]) -> int:
    """Write path, code, and label and spread if there are any, and return their length."""
    whole = together(list(parts))
    arrays: dict[str, Any] = {"path": np.array(whole.path), "code": whole.code}
    if whole.label and whole.label[0] is not None:
        arrays["label"] = np.array(whole.label)
    if whole.spread is not None:
        arrays["spread"] = whole.spread
    np.savez(file, **arrays)
    return len(whole.path)


WRITERS: Final[dict[str, Callable[[BinaryIO, Iterable[Codes]], int]]] = {
    ".parquet": write_parquet,
    ".npz": write_npz,
    ".csv": write_csv,
}


def writer_of(path: Path) -> Callable[[BinaryIO, Iterable[Codes]], int]:
    """What writes a file of this suffix.

    Raises:
        UsageError: if nothing does, or it needs a package that is not installed.
    """
    if path.suffix not in WRITERS:
        raise UsageError(f"out is {path}: {nearest(path.suffix, WRITERS)}")
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise UsageError(
                f"{path} needs pyarrow: pip install 'ae-lightning[parquet]', or write a .csv or "
                ".npz file."
            ) from None
    return WRITERS[path.suffix]
