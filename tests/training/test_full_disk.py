"""A full disk costs what could not be written, and nothing that was."""

from __future__ import annotations

import csv
import errno
import os
import resource
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from ae_lightning.cli.main import main
from ae_lightning.core import files
from ae_lightning.core.files import damage
from ae_lightning.training import run_directory
from ae_lightning.training.metrics_csv import MetricsFile
from helpers.apart import call
from soak import eventful


@pytest.fixture
def fill(monkeypatch: pytest.MonkeyPatch) -> Callable[[range], None]:
    """Have the disk be full when a run's states of these numbers are put in their places."""

    def fill(full: range) -> None:
        replace, count = os.replace, iter(range(1, 1000))

        def full_disk(source: Path, target: Path) -> None:
            if Path(target).name.startswith("step-") and next(count) in full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            replace(source, target)

        monkeypatch.setattr(files.os, "replace", full_disk)

    return fill


def test_training_goes_on_warns_and_tries_again(
    whole: Path,
    tmp_path: Path,
    fill: Callable[[range], None],
) -> None:
    fill(range(2, 4))
    config, run = whole.with_name("eventful.yaml"), tmp_path / "run"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert main(["fit", "--config", str(config), "--run", str(run)]) == 0
    said = [str(w.message) for w in caught if "cannot be written" in str(w.message)]
    assert len(said) == 2
    assert "step-00000001.ckpt cannot be written (No space left on device)" in said[0]
    assert "training goes on and tries again" in said[0]
    assert eventful.differences(whole, run) == []


def test_a_last_state_that_cannot_be_written_is_an_error_and_loses_nothing(
    whole: Path,
    tmp_path: Path,
    fill: Callable[[range], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fill(range(4, 1000))
    config, run = whole.with_name("eventful.yaml"), tmp_path / "run"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert main(["fit", "--config", str(config), "--run", str(run)]) == 1
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("ae-lightning: ")]
    assert lines == [
        "ae-lightning: the last state could not be saved: free some disk space, "
        "then continue from the former one with --resume."
    ]
    assert len(run_directory.states(run)) == 2
    for state in run_directory.states(run):
        assert damage(state) is None
    monkeypatch.undo()
    assert main(["fit", "--run", str(run), "--resume"]) == 0
    assert eventful.differences(whole, run) == []


def log_on_a_full_disk(run: Path) -> None:
    """Log rows while no file may grow beyond some bytes, and again when files may."""
    metrics = MetricsFile(run)
    metrics.log_metrics({"a": 1.0, "b": 2.0}, 0)
    size = metrics.path.stat().st_size
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 5, hard))  # half a row
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        metrics.log_metrics({"a": 3.0, "b": 4.0}, 1)
        metrics.log_metrics({"c": 5.0}, 2)  # for which the file is to be written anew
    assert [str(w.message).partition(": ")[2] for w in caught] == [
        "1 rows of metrics wait in memory.",
        "2 rows of metrics wait in memory.",
    ]
    assert metrics.path.stat().st_size == size
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    metrics.log_metrics({"a": 6.0}, 3)


def test_rows_of_metrics_wait_until_there_is_room(tmp_path: Path) -> None:
    assert call(log_on_a_full_disk, tmp_path) == 0
    with (tmp_path / run_directory.METRICS).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["step"], r["a"], r["b"], r["c"]) for r in rows] == [
        ("0", "1.0", "2.0", ""),
        ("1", "3.0", "4.0", ""),
        ("2", "", "", "5.0"),
        ("3", "6.0", "", ""),
    ]
