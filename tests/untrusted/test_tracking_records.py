"""What Weights & Biases has written in a stranger's run is read to its end, or is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ae_lightning import UsageError
from ae_lightning.training.wandb_records import pieces
from helpers.interpreter import python

HEAD = b":W&B\xef\xbf\x00"[:7]


def piece(data: bytes, kind: int) -> bytes:
    return bytes(4) + len(data).to_bytes(2, "little") + bytes([kind]) + data


def test_records_are_put_together_of_their_pieces(tmp_path: Path) -> None:
    file = tmp_path / "run-a.wandb"
    file.write_bytes(HEAD + piece(b"a", 1) + piece(b"b", 2) + piece(b"c", 3) + piece(b"d", 4))
    assert list(pieces(file)) == [b"a", b"bcd"]


@pytest.mark.parametrize("kind", [0, 5, 255])
def test_what_is_no_piece_ends_them(kind: int, tmp_path: Path) -> None:
    """As in a file of a terabyte of nothing, which takes no room on a disk."""
    file = tmp_path / "run-a.wandb"
    file.write_bytes(HEAD + piece(b"a", 1) + piece(b"", kind) + piece(b"b", 1))
    assert list(pieces(file)) == [b"a"]


def test_a_pipe_is_refused_and_does_not_wait(tmp_path: Path) -> None:
    """In a process that would be ended."""
    os.mkfifo(tmp_path / "run-a.wandb")
    code = f"""
from pathlib import Path
from ae_lightning.training.wandb_records import pieces
try:
    list(pieces(Path({str(tmp_path / "run-a.wandb")!r})))
except ValueError as error:
    print(type(error).__name__)
"""
    assert python("-c", code).split()[-1] == UsageError.__name__
