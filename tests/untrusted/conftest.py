"""What attacks on chunks begin with."""

from pathlib import Path

import pytest

from helpers.streaming import copied, trained_on_chunks


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of chunks, and of a run that was trained on them."""
    return trained_on_chunks(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def chunks_here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    return copied(trained, tmp_path)
