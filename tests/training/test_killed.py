"""A run that is killed or stopped anywhere, and resumed, ends as if nothing had happened."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from ae_lightning.core.files import damage
from ae_lightning.training import run_directory
from helpers.apart import ae_lightning
from soak import eventful
from soak.faults import MOMENT


@pytest.fixture(scope="module")
def folder(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the config lies, and a run that was left alone."""
    return Path(shutil.copytree(whole.parent, tmp_path_factory.mktemp("killed") / "runs"))


def start(folder: Path, run: str, moment: str) -> tuple[int, str]:
    arguments = ["fit", "--config", "eventful.yaml", "--run", run]
    return ae_lightning(folder, arguments, {MOMENT: moment})


def resume(folder: Path, run: str, moment: str = "") -> tuple[int, str]:
    return ae_lightning(
        folder, ["fit", "--run", run, "--resume", *eventful.TRUST], {MOMENT: moment}
    )


@pytest.mark.parametrize(
    "moments",
    [
        ("batch:5",),  # within an epoch, and within a step that accumulates gradients
        ("last_batch:1",),
        ("validation:3",),
        ("validation_end:4",),
        ("writing:4",),
        ("written:7",),
        ("replaced:3",),
        ("writing:5", "batch:1", "validation:2"),  # three times in a row
    ],
    ids=" ".join,
)
def test_a_killed_run_ends_equal_to_the_bit(folder: Path, moments: tuple[str, ...]) -> None:
    run = moments[0].replace(":", "-") + str(len(moments))
    assert start(folder, run, moments[0])[0] == -9
    for moment in moments[1:]:
        assert resume(folder, run, moment)[0] == -9
    code, said = resume(folder, run)
    assert code == 0, said
    assert eventful.differences(folder / "whole", folder / run) == []
    files = [{p.name for p in (folder / r / "checkpoints").iterdir()} for r in ("whole", run)]
    assert files[0] == files[1]  # nothing half written is left


@pytest.mark.parametrize(
    ("moment", "code", "batches"),
    [
        ("batch:4:SIGTERM", 143, 4),  # within a step that accumulates gradients
        ("batch:7:SIGINT", 130, 7),
        ("last_batch:1:SIGTERM", 143, 8),  # a validation follows
        ("validation:1:SIGINT", 130, 2),  # in the midst of a validation
        ("validation_end:2:SIGTERM", 143, 5),  # after the last of its batches
        ("writing:2:SIGINT", 130, 5),  # while a state is being written
    ],
)
def test_a_stopped_run_has_a_state_of_that_place(
    folder: Path, moment: str, code: int, batches: int
) -> None:
    run = moment.replace(":", "-")
    stopped, said = start(folder, run, moment)
    assert stopped == code, said
    newest = torch.load(run_directory.states(folder / run)[0], weights_only=True)
    progress = newest["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]
    assert progress["processed"] == batches
    line = said.splitlines()[-1]
    assert line == f"ae-lightning fit --run {run} --resume --trust soak"
    assert re.search(rf"stopped by {moment[-7:].strip(':')} after step \d+; to continue:", said)
    resumed, said = ae_lightning(folder, shlex.split(line)[1:])
    assert resumed == 0, said
    assert eventful.differences(folder / "whole", folder / run) == []


def test_a_second_ctrl_c_while_a_state_is_written_damages_nothing(folder: Path) -> None:
    code, said = start(folder, "twice", "batch:4:SIGINT writing:2:SIGINT")
    assert code == 130, said
    newest = run_directory.states(folder / "twice")[0]
    assert damage(newest) is None
    assert resume(folder, "twice")[0] == 0
    assert eventful.differences(folder / "whole", folder / "twice") == []


def test_a_second_ctrl_c_elsewhere_stops_at_once(folder: Path) -> None:
    code, said = start(folder, "at_once", "batch:4:SIGINT+SIGINT")
    assert code == 130, said
    assert said.splitlines()[-1] == "ae-lightning fit --run at_once --resume --trust soak"
    # Nothing was saved where it stopped: the newest state is that of a validation before.
    newest = torch.load(run_directory.states(folder / "at_once")[0], weights_only=True)
    assert newest["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["processed"] == 2
