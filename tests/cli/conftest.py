"""A whole run, and a copy of it to change."""

import shutil
from pathlib import Path

import pytest

from ae_lightning.cli.main import main
from helpers.runs import FIT


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs, never interrupted."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert main([*FIT, "--trainer.max_epochs", "3", "--run", str(run)]) == 0
    return run


@pytest.fixture
def copy(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(whole, tmp_path / "copy"))
