"""What every room stands on knows torch and not Lightning, and which process it runs in."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ae_lightning import core
from ae_lightning.core.distributed import first_process, launched_apart

FILES = sorted(Path(core.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_core_knows_nothing_of_lightning(file: Path) -> None:
    assert not re.findall(r"(?m)^\s*(?:from|import) lightning\b", file.read_text())


@pytest.mark.parametrize(
    ("environment", "first", "apart"),
    [
        ({}, True, False),
        ({"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}, True, True),
        ({"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"}, False, True),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}, False, True),
        ({"NODE_RANK": "1"}, False, True),
    ],
)
def test_a_launchers_ranks_are_read(environment: dict[str, str], first: bool, apart: bool) -> None:
    assert first_process(environment) is first
    assert launched_apart(environment) is apart
