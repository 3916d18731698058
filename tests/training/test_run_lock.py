"""Of all that are started in a run's directory at once, one trains, and the others name it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from ae_lightning.cli.fit import Fit
from ae_lightning.core.errors import UsageError
from ae_lightning.training import run_directory, run_lock
from ae_lightning.training.run_lock import LOCK, RunLock, await_first_rank, owner_of
from helpers import apart
from helpers.apart import CONTEXT, ae_lightning, call_all, ranks
from soak import eventful
from soak.faults import MOMENT

IN_USE = r"run is in use by process {pid} on {host}, which trains there since 2\d\d\d-\d\d-\d\d "


def hold(run: Path, child_lives: bool = False) -> None:
    """Hold a run for as long as this process lives, which may leave a forked child behind."""
    lock = RunLock(run)
    if child_lives and os.fork() == 0:
        (run.parent / "child").write_text(str(os.getpid()))
        time.sleep(120)
        os._exit(0)
    (run.parent / "held").touch()
    time.sleep(120)
    lock.release()


def appears(file: Path, seconds: float = 60) -> Path:
    deadline = time.monotonic() + seconds
    while not file.exists():
        assert time.monotonic() < deadline, file
        time.sleep(0.01)
    return file


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_lock, "GLANCE", 0.05)
    (tmp_path / "run" / run_directory.CHECKPOINTS).mkdir(parents=True)
    return tmp_path / "run"


@pytest.fixture
def holder(run: Path, request: pytest.FixtureRequest) -> Iterator[BaseProcess]:
    """Another process, which holds the run."""
    process = CONTEXT.Process(target=hold, args=(run, getattr(request, "param", False)))
    process.start()
    appears(run.parent / "held")
    yield process
    process.kill()
    process.join()


def test_a_run_that_is_held_is_refused_with_the_name_of_its_holder(run: Path, holder) -> None:
    said = IN_USE.format(pid=holder.pid, host=re.escape(socket.gethostname()))
    for take in (RunLock, run_directory.NewRun, run_directory.hold):
        with pytest.raises(UsageError, match=said) as error:
            take(run)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 300


@pytest.mark.parametrize("holder", [True, False], indirect=True, ids=["forked", "alone"])
def test_a_killed_process_holds_nothing_even_if_one_that_it_forked_lives(run, holder) -> None:
    forked = run.parent / "child"
    holder.kill()
    holder.join()
    RunLock(run).release()
    assert os.listdir(run) == [run_directory.CHECKPOINTS]
    if forked.exists():
        os.kill(int(forked.read_text()), signal.SIGKILL)  # which lives, or this would raise


def test_a_lock_leaves_nothing_and_can_be_taken_again_at_once(run: Path) -> None:
    for _ in range(3):
        lock = RunLock(run)
        assert owner_of(run)["pid"] == str(os.getpid())
        with pytest.raises(UsageError, match=rf"process {os.getpid()} on "):
            RunLock(run)
        lock.release()
        lock.release()
        assert owner_of(run) == {}
        assert not (run / LOCK).exists()


def test_an_owner_on_another_host_is_named_with_the_way_to_free_the_run(run: Path) -> None:
    error = run_lock.in_use(run, {"pid": "7", "host": "far\x1b", "since": "now"})
    assert "process 7 on far\\x1b, which trains there since now: wait" in str(error)
    assert "in use by another process: wait" in str(run_lock.in_use(run, {"pid": "7"}))
    assert str(error).endswith(f"; if far\\x1b is gone, remove {run / LOCK}.")


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 900, b"[1]", b'{"pid": 1}', b"x" * 9999])
def test_what_a_stranger_wrote_into_a_lock_is_not_believed(run: Path, content: bytes) -> None:
    (run / LOCK).write_bytes(content)
    assert run_lock.owner_in(run / LOCK) == {}
    lock = RunLock(run)
    assert owner_of(run)["pid"] == str(os.getpid())
    lock.release()


def test_a_lock_that_is_a_link_or_a_pipe_is_refused(run: Path) -> None:
    precious = run.parent / "precious"
    precious.write_text("mine")
    (run / LOCK).symlink_to(precious)
    with pytest.raises(UsageError, match=r"\.lock is a symbolic link"):
        RunLock(run)
    (run / LOCK).unlink()
    os.mkfifo(run / LOCK)
    with pytest.raises(UsageError, match=r"\.lock is not a regular file: remove it"):
        RunLock(run)
    assert precious.read_text() == "mine"


def test_where_the_system_has_no_locks_training_goes_on_with_a_warning(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "fcntl", None)
    with pytest.warns(UserWarning, match=r"run cannot be locked \(this system has no flock\)"):
        lock = RunLock(run)
    lock.release()


# ------------------------------------------------------------- whole trainings, started at once


def start(folder: Path, arguments: list[str], output: str, number: int, others: list[int]) -> None:
    """Run the command line when all others are here too, and train when these have ended."""
    train = Fit.fit

    def train_last(self: Fit, **options: Any) -> None:
        for other in others:
            appears(folder / f"ended-{other}")
        train(self, **options)

    Fit.fit = train_last  # type: ignore[method-assign]
    (folder / f"here-{number}").touch()
    appears(folder / "gate")
    try:
        apart._main(folder, arguments, {}, output)
    finally:
        (folder / f"ended-{number}").touch()


def together(folder: Path, arguments: list[str], n: int = 2, alone: bool = True) -> list[Any]:
    """Run a command n times at once, of which one may train; return the exit codes and outputs."""
    for file in [*folder.glob("ended-*"), *folder.glob("here-*"), *folder.glob("gate")]:
        file.unlink()

    def open_gate() -> None:
        for i in range(n):
            appears(folder / f"here-{i}")
        (folder / "gate").touch()

    threading.Thread(target=open_gate, daemon=True).start()
    others = [[j for j in range(n) if j != i and alone] for i in range(n)]
    each = [(folder, arguments, f"output-{i}", i, others[i]) for i in range(n)]
    codes = call_all(start, each, seconds=300)
    return [(code, (folder / f"output-{i}").read_text()) for i, code in enumerate(codes)]


def one_trained(ends: list[Any]) -> None:
    """Assert that one ended well, and that each of the others said one sentence."""
    assert sorted(code for code, _ in ends) == [0] + [2] * (len(ends) - 1), ends
    for code, said in ends:
        if code == 2:
            [line] = said.splitlines()
            assert re.match(rf"ae-lightning: {IN_USE}".format(pid=r"\d+", host=r"\S+"), line), line


@pytest.fixture(scope="module")
def folder(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the config lies, and a run that was left alone."""
    return Path(shutil.copytree(whole.parent, tmp_path_factory.mktemp("locked") / "runs"))


@pytest.mark.parametrize("attempt", range(2))
def test_of_two_runs_in_one_directory_one_trains(folder: Path, attempt: int) -> None:
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    one_trained(together(folder, ["fit", "--config", "eventful.yaml", "--run", "run"], 2 + attempt))
    assert eventful.differences(folder / "whole", run) == []
    assert (run / run_directory.CONFIG).exists()
    assert not (run / LOCK).exists()


@pytest.mark.parametrize("attempt", range(2))
def test_of_two_resumptions_one_trains_and_no_row_is_doubled(folder: Path, attempt: int) -> None:
    shutil.rmtree(folder / "run", ignore_errors=True)
    arguments = ["fit", "--config", "eventful.yaml", "--run", "run"]
    assert ae_lightning(folder, arguments, {MOMENT: "batch:5"})[0] == -9
    one_trained(together(folder, ["fit", "--run", "run", "--resume", *eventful.TRUST], 2 + attempt))
    assert eventful.differences(folder / "whole", folder / "run") == []


def test_two_runs_without_a_name_get_two_directories(folder: Path) -> None:
    short = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1"]
    ends = together(folder, ["fit", "--config", "eventful.yaml", *short], 2, alone=False)
    assert [code for code, _ in ends] == [0, 0], ends
    assert len(os.listdir(folder / "runs")) == 2


def test_a_refusal_leaves_the_config_of_the_run_that_goes_on(run: Path, holder) -> None:
    (run / run_directory.CONFIG).write_text("theirs")
    with pytest.raises(UsageError):
        run_directory.NewRun(run)
    assert (run / run_directory.CONFIG).read_text() == "theirs"


def test_a_withdrawal_removes_nothing_of_the_next_one(run: Path) -> None:
    shutil.rmtree(run)
    first = run_directory.NewRun(run)
    with pytest.raises(UsageError, match="is in use"):
        run_directory.NewRun(run)
    first.withdraw()
    assert not run.exists()
    second = run_directory.NewRun(run)
    (run / run_directory.CONFIG).write_text("mine")
    second.lock.release()
    assert os.listdir(run) == [run_directory.CONFIG]


@pytest.mark.parametrize("resume", [[], ["--resume"]], ids=["new", "resumed"])
def test_ranks_that_were_launched_apart_all_end_if_rank_zero_is_refused(
    run: Path, holder, resume: list[str]
) -> None:
    configs = ["--config", "vae", "--config", "digits", "--config", "ddp"]
    arguments = ["fit", *configs, "--run", "run", *resume]
    codes, said = ranks(run.parent, arguments, [{"RANK": "0"}, {"RANK": "1"}])
    assert codes == [2, 2], said
    for text in said:
        assert re.search(IN_USE.format(pid=holder.pid, host=r"\S+"), text)


def test_a_rank_goes_on_when_its_own_rank_zero_holds_the_run(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASTER_PORT", "29501")
    lock = RunLock(run)
    assert await_first_rank(run)
    monkeypatch.setenv("MASTER_PORT", "29502")  # of another launch
    with pytest.raises(UsageError, match="is in use"):
        await_first_rank(run)
    lock.release()
    monkeypatch.setattr(run_lock, "PATIENCE", 0.2)
    assert not await_first_rank(run)
