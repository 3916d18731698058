"""A rank that dies takes the others down, and the run goes on, on any number of processes."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import torch.distributed as dist

from ae_lightning import runs, watch
from ae_lightning.cli import main
from ae_lightning.watch import PARENT, Watch

MARK = "AE_TEST_JOB"  # names a job to all processes of it, whatever launched them
FIT = ["fit", "--run", "run", "--trainer.accelerator", "cpu"]


class Job:
    """A command, and all processes that it starts."""

    def __init__(self, command: list[str], folder: Path) -> None:
        launched = ("LOCAL_RANK", "WORLD_SIZE", "NODE_RANK", "MASTER_PORT", runs.HANDED_ON, PARENT)
        environment = {k: v for k, v in os.environ.items() if k not in launched}
        self.mark, self.log = uuid4().hex, folder / f"{uuid4().hex}.log"
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=folder,
            env={**environment, "OMP_NUM_THREADS": "1", MARK: self.mark},
            start_new_session=True,
            stdout=self.log.open("w"),
            stderr=subprocess.STDOUT,
        )

    def processes(self) -> dict[int, Mapping[str, str]]:
        """The environments of those that live, by process id."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                text = (folder / "environ").read_text()
            except (OSError, UnicodeDecodeError):
                continue
            if f"{MARK}={self.mark}" in text:
                found[int(folder.name)] = dict(
                    v.split("=", 1) for v in text.split("\0") if "=" in v
                )
        return found

    def kill_rank(self, rank: int) -> None:
        names = ("RANK", "LOCAL_RANK")
        [pid] = [
            pid
            for pid, environment in self.processes().items()
            if str(rank) in [environment.get(name) for name in names]
        ]
        os.kill(pid, signal.SIGKILL)

    def ends(self, seconds: float) -> bool:
        """Whether all of its processes are gone within this time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None and not self.processes():
                return True
            time.sleep(0.1)
        return False

    def clear(self) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def said(self) -> str:
        return self.log.read_text()


def trained_on(job: Job, run: Path, state: Path | None) -> Path:
    """Wait for a state after this one, and return it."""
    deadline = time.monotonic() + 120
    while (newest := next(iter(runs.states(run)), None)) == state:
        assert time.monotonic() < deadline, job.said()
        assert job.process.poll() is None, job.said()
        time.sleep(0.1)
    assert newest is not None
    return newest


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
            state = trained_on(job, run, state)
            job.kill_rank(1)
            assert job.ends(within := 60), f"processes live {within} s after a rank: {job.said()}"
            assert job.process.returncode != 0
        finally:
            job.clear()
        assert f"ae-lightning: rank 0 ends, since another of the {processes}" in job.said()
        assert "unexpected" not in job.said()
    change = r"3 processes with \d+ examples a step from here on, after 2 processes with"
    assert re.search(change, job.said())
    # One run of Weights & Biases, of one segment a launch, whatever the number of processes.
    segments = sorted(path.name for path in (run / "wandb").glob("offline-run-*"))
    assert len(segments) == 2
    assert {s.rpartition("-")[2] for s in segments} == {(run / "wandb_id").read_text()}

    newest, _ = runs.newest_state(run)
    assert newest is not None
    epochs = 2 + max(int(row["epoch"] or 0) for row in csv.DictReader((run / runs.METRICS).open()))
    alone = ["--trainer.strategy", "auto", "--trainer.logger", "true"]
    assert main([*resumed, "1", *alone, "--trainer.max_epochs", str(epochs)]) == 0
    validated = [
        int(row["epoch"]) for row in csv.DictReader((run / runs.METRICS).open()) if row["val/loss"]
    ]
    assert validated == list(range(epochs))


# ------------------------------------------------------------ where no connection is closed


class Ended(Exception):
    pass


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Watch, list[str]]]]:
    """Make a watch of a rank, with short patience, that notes its end in place of coming to it."""
    watches = []

    def make(rank: int, store: Any) -> tuple[Watch, list[str]]:
        monkeypatch.setattr(watch, "rank_and_world", lambda: (rank, 2))
        made, ends = Watch(interval=0.05, patience=0.5), []
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
    for count in range(round(seconds / 0.05)):
        here.set(f"ae_lightning/sign/{rank}", str(count))
        time.sleep(0.05)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_ends_when_one_that_it_watches_gives_no_more_signs(rank: int, watched) -> None:
    here = store()
    _, ends = watched(rank, here)
    give_signs(here, 1 - rank, 1.0)
    assert ends == []
    time.sleep(0.8)
    assert ends == [f"rank {1 - rank} gave no sign of life for 0.5 s"]
    assert here.check(["ae_lightning/dead"]) is (rank == 0)


def test_a_process_ends_when_rank_zero_has_found_another_dead(watched) -> None:
    here = store()
    _, ends = watched(1, here)
    here.set("ae_lightning/dead", "rank 7 gave no sign")
    time.sleep(0.3)
    assert ends == ["rank 7 gave no sign"]


def test_a_training_that_is_done_is_watched_no_more(watched) -> None:
    here = store()
    made, ends = watched(0, here)
    give_signs(here, 1, 0.2)
    made.teardown(None, None, "fit")
    time.sleep(0.8)
    assert ends == []
    assert int(here.get("ae_lightning/sign/0")) >= 2


def test_a_launched_process_ends_with_its_launcher(monkeypatch, watched) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv(PARENT, str(os.getppid()))
    _, ends = watched(1, store())
    time.sleep(0.3)
    assert ends == []
    monkeypatch.setattr(os, "getppid", lambda: 1)
    time.sleep(0.3)
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
    monkeypatch.setattr(watch, "rank_and_world", lambda: (0, 2))
    assert watch.lost(error) is is_lost
    monkeypatch.setattr(watch, "rank_and_world", lambda: (0, 1))
    assert watch.lost(error) is False
