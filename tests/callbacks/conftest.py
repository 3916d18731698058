"""One run with a page, for all that reads it."""

from pathlib import Path

import pytest

from helpers.reports import reported_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reported_run(tmp_path_factory.mktemp("run"))
