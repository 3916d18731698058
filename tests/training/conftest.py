"""What tests of training compare with, and a directory apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ae_lightning.cli.main import main
from ae_lightning.training import run_directory
from helpers.resuming import SIZES
from soak import eventful


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An eventful run that was left alone; its config lies beside it."""
    folder = tmp_path_factory.mktemp("eventful")
    config = eventful.write(folder, **SIZES)
    assert main(["fit", "--config", str(config), "--run", str(folder / "whole")]) == 0
    return folder / "whole"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with code under version control, and no credentials."""
    import wandb

    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    # Put back what a run sets.
    ours = (
        "WANDB_SILENT",
        "WANDB_ERROR_REPORTING",
        "WANDB__DISABLE_VIEWER",
        run_directory.HANDED_ON,
    )
    for name in ours:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")  # the servers of these tests are here
    yield tmp_path
    wandb.teardown()
