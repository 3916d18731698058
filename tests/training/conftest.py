"""What tests of resuming compare with."""

from pathlib import Path

import pytest

from ae_lightning.cli.main import main
from helpers.resuming import SIZES
from soak import eventful


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An eventful run that was left alone; its config lies beside it."""
    folder = tmp_path_factory.mktemp("eventful")
    config = eventful.write(folder, **SIZES)
    assert main(["fit", "--config", str(config), "--run", str(folder / "whole")]) == 0
    return folder / "whole"
