"""A full disk is told by the result that did not fit, of which nothing is left."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ae_lightning.cli.main import main
from helpers.attack import one_sentence

COMMANDS = {
    "a table": ["encode", "RUN", "--out", "codes.csv"],
    "arrays": ["encode", "RUN", "--out", "codes.npz"],
    "an array": ["reconstruct", "RUN", "--out", "copies.npy"],
    "images": ["reconstruct", "RUN", "--limit", "9", "--out", "copies"],
    "strips": ["traverse", "RUN", "--out", "walk.png"],
    "a program": ["export", "RUN", "--to", "torch", "--parts", "encoder", "--out", "program"],
    "weights": ["export", "RUN", "--to", "safetensors", "--out", "model"],
}


@contextmanager
def nearly_full_disk() -> Iterator[None]:
    """No file may hold more than 60 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_full_disk_is_told_by_the_result(
    kind: str,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    args = [str(run) if arg == "RUN" else arg for arg in COMMANDS[kind]]
    with nearly_full_disk():
        assert main(args) == 2
    assert one_sentence(capsys.readouterr().err) == f"{args[-1]}: File too large."
    assert os.listdir() == []
