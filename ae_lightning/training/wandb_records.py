"""What Weights & Biases has written offline, as far as it must be known to go on."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ae_lightning.core.files import open_regular
from ae_lightning.core.private_names import private

HEADER: Final = 7  # bytes: the file's own, and those of each piece: checksum, length, kind
PIECES: Final = range(1, 5)  # whole, first, middle, last
BLOCK: Final = 2**15  # bytes, which no piece crosses: LevelDB's framing of a log


def rows_in(folder: Path, identifier: str) -> int:
    """How many rows of history a run has logged offline, in all of its records in a folder."""
    files = folder.glob(f"wandb/offline-run-*-{identifier}/run-*.wandb")
    return max((row for file in files for row in rows_of(file)), default=-1) + 1


def rows_of(file: Path) -> Iterator[int]:
    """The numbers of the rows in one record, as far as it was written."""
    Record = private("wandb.proto.wandb_internal_pb2:Record", "FromString", "HasField")
    for data in pieces(file):
        try:
            record = Record.FromString(data)
        except Exception:  # protobuf's: a damaged record ends what can be read
            return
        if record.HasField("history"):
            yield record.history.step.num


def pieces(file: Path) -> Iterator[bytes]:
    """The records of a log of LevelDB, each put together of its pieces."""
    with open_regular(file) as opened:
        whole, at = b"", opened.seek(HEADER)
        while True:
            if (left := BLOCK - at % BLOCK) < HEADER:
                at = opened.seek(at + left)
            head = opened.read(HEADER)
            if len(head) < HEADER:
                return
            _, length, kind = struct.unpack("<IHB", head)
            if kind not in PIECES:  # nothing, or damaged
                return
            whole += opened.read(length)
            at += HEADER + length
            if kind in (1, 4):  # a whole record, or its last piece
                yield whole
                whole = b""
