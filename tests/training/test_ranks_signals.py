"""A signal to any rank stops all of them at one place, from which they go on to the bit."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
import yaml

from ae_lightning.training import run_directory
from helpers import apart
from helpers.jobs import Job
from soak import eventful
from soak.faults import MOMENT

TWO = ["--trainer.devices", "2"]


def write(folder: Path, **trainer: object) -> Path:
    """A run of 8 batches an epoch, 3 of which make a step, on each of two processes."""
    config = eventful.config(epochs=2, size=384)
    config["data"]["init_args"]["batch_size"] = 16
    config["trainer"] |= {"strategy": "ddp", **trainer}
    config["trainer"]["callbacks"].append({"class_path": "soak.faults.Lingering"})
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def ranks(folder: Path, arguments: list[str], *moments: str) -> tuple[list[int], list[str]]:
    return apart.ranks(folder, [*arguments, *TWO], [{MOMENT: moment} for moment in moments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the config lies, and a run of two processes that was left alone."""
    folder = tmp_path_factory.mktemp("signals")
    write(folder)
    codes, said = ranks(folder, ["fit", "--config", "config.yaml", "--run", "whole"], "", "")
    assert codes == [0, 0], said
    return folder


def goes_on(folder: Path, run: str) -> None:
    codes, said = ranks(folder, ["fit", "--run", run, "--resume", *eventful.TRUST], "", "")
    assert codes == [0, 0], said
    assert eventful.differences(folder / "whole", folder / run) == []


@pytest.mark.parametrize(
    ("zero", "one", "code", "batches"),
    [
        ("", "batch:5:SIGTERM", 143, 5),  # two batches of each have accumulated for a step
        ("batch:5:SIGINT", "batch:6:SIGINT", 130, 5),  # which a terminal sends to all
        ("batch:5:SIGINT", "batch:5:SIGTERM", 143, 5),
        ("validation:3:SIGTERM", "", 143, 4),
        ("", "last_batch:1:SIGINT", 130, 8),
    ],
)
def test_both_ranks_end_at_one_place(
    folder: Path, zero: str, one: str, code: int, batches: int
) -> None:
    run = f"run-{zero}-{one}".replace(":", "_")
    codes, said = ranks(folder, ["fit", "--config", "config.yaml", "--run", run], zero, one)
    assert codes == [code, code], said
    newest = torch.load(run_directory.states(folder / run)[0], weights_only=True)
    progress = newest["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]
    assert progress["processed"] == batches
    assert said[0].splitlines()[-1] == f"ae-lightning fit --run {run} --resume --trust soak"
    assert said[1] == ""
    goes_on(folder, run)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_before_the_first_batch_is_waited_for_by_no_one(folder: Path, rank: int) -> None:
    """Lightning's own handler waits for the other ranks to come to it, which they do not."""
    moments = ["", ""]
    moments[rank] = "sanity:1:SIGTERM"
    codes, said = ranks(folder, ["fit", "--config", "config.yaml", "--run", "none"], *moments)
    assert codes == [143, 143], said
    assert said[0].splitlines()[-1] == "stopped by SIGTERM; nothing is kept"
    assert not (folder / "none").exists()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")
def test_processes_that_rank_zero_started_may_end_before_it(folder: Path) -> None:
    """Rank zero is not killed over it, but writes its page, and ends with the signal's code."""
    arguments = ["fit", "--config", "config.yaml", "--run", "own", *TWO]
    job = Job(["ae_lightning", *arguments], folder, {MOMENT: "batch:5:SIGTERM"})
    code, text = job.end(120)
    assert code == 143, text
    assert (folder / "ended.txt").read_text() == "143"
    line = text.splitlines()[-1]
    assert line == "ae-lightning fit --run own --resume --trust soak"
    codes, said = ranks(folder, shlex.split(line)[1:], "", "")
    assert codes == [0, 0], said
    assert eventful.differences(folder / "whole", folder / "own") == []
