"""A rank that dies takes the others down, and the run goes on, on any number of processes."""

from __future__ import annotations

import csv
import itertools
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from ae_lightning.cli.main import main
from ae_lightning.training import heartbeat, run_directory
from ae_lightning.training.heartbeat import PARENT, Heartbeat
from helpers.jobs import Job

FIT = ["fit", "--run", "run", "--trainer.accelerator", "cpu"]


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found in /proc")
def test_a_run_survives_the_death_of_ranks_on_any_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    configs = [w for name in ("vae", "digits", "ddp", "wandb") for w in ("--config", name)]
    first = ["ae_lightning", *FIT, *configs, "--trainer.max_epochs", "100000"]
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "3", "-m"]
    resumed = [*FIT, "--resume", "--trainer.devices"]
    state = None
    for command, processes in (
        ([*first, "--trainer.devices", "2"], 2),
        ([*torchrun, "ae_lightning", "--", *resumed, "3"], 3),
    ):
        job = Job(command, tmp_path)
        try:
            state = job.waits_for_state(run, state)
            job.kill_rank(1)
            assert job.ends(within := 60), f"processes live {within} s after a rank: {job.said()}"
            assert job.process.returncode != 0
        finally:
            job.clear()
        assert f"ae-lightning: rank 0 ends because another of the {processes}" in job.said()
        assert "unexpected" not in job.said()
    change = r"3 processes with \d+ examples a step from here on, after 2 processes with"
    assert re.search(change, job.said())
    # One run of Weights & Biases, of one segment a launch, whatever the number of processes.
    segments = sorted(path.name for path in (run / "wandb").glob("offline-run-*"))
    assert len(segments) == 2
    assert {s.rpartition("-")[2] for s in segments} == {(run / "wandb_id").read_text()}

    newest, _ = run_directory.newest_state(run)
    assert newest is not None
    epochs = 2 + max(
        int(row["epoch"] or 0) for row in csv.DictReader((run / run_directory.METRICS).open())
    )
    alone = ["--trainer.strategy", "auto", "--trainer.logger", "true"]
    assert main([*resumed, "1", *alone, "--trainer.max_epochs", str(epochs)]) == 0
    validated = [
        int(row["epoch"])
        for row in csv.DictReader((run / run_directory.METRICS).open())
        if row["val/loss"]
    ]
    assert validated == list(range(epochs))


# ------------------------------------------------------------ where no connection is closed


PATIENCE = 2.0  # seconds: more than a busy machine holds a thread up


@pytest.fixture
def watched(
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., tuple[Heartbeat, list[str]]]]:
    """Make a heartbeat of a rank, with short patience, that notes its end instead of ending."""
    watches = []

    def make(rank: int, store: Any) -> tuple[Heartbeat, list[str]]:
        monkeypatch.setattr(heartbeat, "rank_and_world", lambda: (rank, 2))
        made, ends = Heartbeat(interval=0.05, patience=PATIENCE), []
        made.end = lambda why: (ends.append(why), made.done.set())
        made.meet(store)
        watches.append(made)
        return made, ends

    yield make
    for made in watches:
        made.done.set()


def store() -> Any:
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def give_signs(here: Any, rank: int, seconds: float) -> None:
    begin = time.monotonic()
    for count in itertools.count():
        here.set(heartbeat.SIGN.format(rank), str(count))
        time.sleep(0.05)
        if time.monotonic() - begin > seconds:
            return


def ended(made: Heartbeat) -> bool:
    return made.done.wait(30)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_ends_when_one_that_it_watches_gives_no_more_signs(rank: int, watched) -> None:
    here = store()
    made, ends = watched(rank, here)
    give_signs(here, 1 - rank, 1.5 * PATIENCE)
    assert ends == []
    assert ended(made)
    assert ends == [f"rank {1 - rank} gave no sign of life for {PATIENCE:g} s"]
    assert here.check([heartbeat.DEAD]) is (rank == 0)


def test_a_process_ends_when_rank_zero_has_found_another_dead(watched) -> None:
    here = store()
    made, ends = watched(1, here)
    here.set(heartbeat.DEAD, "rank 7 gave no sign")
    assert ended(made)
    assert ends == ["rank 7 gave no sign"]


def test_a_training_that_is_done_is_watched_no_more(watched) -> None:
    here = store()
    made, ends = watched(0, here)
    give_signs(here, 1, 0.2)
    made.teardown(None, None, "fit")
    time.sleep(1.5 * PATIENCE)
    assert ends == []
    assert int(here.get(heartbeat.SIGN.format(0))) >= 1


def test_a_launched_process_ends_with_its_launcher(monkeypatch, watched) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv(PARENT, str(os.getppid()))
    made, ends = watched(1, store())
    time.sleep(0.3)
    assert ends == []
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert ended(made)
    assert ends == ["the process that started it has ended"]


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (RuntimeError("[gloo/transport/tcp/pair.cc:545] Connection closed by peer"), True),
        (dist.DistBackendError("NCCL error in: remote process exited"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("Connection closed by peer"), False),
    ],
)
def test_a_lost_process_is_told_from_other_errors(error, is_lost, monkeypatch) -> None:
    monkeypatch.setattr(heartbeat, "rank_and_world", lambda: (0, 2))
    assert heartbeat.lost(error) is is_lost
    monkeypatch.setattr(heartbeat, "rank_and_world", lambda: (0, 1))
    assert heartbeat.lost(error) is False
