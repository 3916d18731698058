"""Whatever happens to metrics.csv, what is logged next is written, and training goes on."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from ae_lightning.training.metrics_csv import MetricsFile, read_metrics

WHOLE = "epoch,step,a,b\n0,0,1.0,\n0,1,,2.0\n1,2,3.0,4.0\n"


def removed(file: Path) -> None:
    file.unlink()


def emptied(file: Path) -> None:
    file.write_text("")


def linked(file: Path) -> None:
    os.replace(file, file.with_name("mine"))
    file.symlink_to("mine")


def made_a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def made_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def overwritten(file: Path) -> None:
    file.write_bytes(os.urandom(500))


def written_by_a_spreadsheet(file: Path) -> None:
    file.write_text(file.read_text().replace("\n", "\r\n"), encoding="utf-8-sig")


def shortened(file: Path) -> None:
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))


def untouched(file: Path) -> None:
    pass


# What happens to the file, the rows of the former two that are left, and what is said of it.
EVENTS: list[tuple[Callable[[Path], None], int, str]] = [
    (untouched, 2, ""),
    (removed, 0, "holds 0 of the 2 rows that were logged: the others are lost"),
    (emptied, 0, "holds 0 of the 2 rows"),
    (shortened, 1, "holds 1 of the 2 rows"),
    (made_a_folder, 0, "is not a regular file; it is kept as metrics.csv.damaged, and training"),
    (made_a_pipe, 0, "is not a regular file"),
    (overwritten, 0, "does not begin with the names of metrics"),
    (linked, 2, ""),
    (written_by_a_spreadsheet, 2, ""),
]


@pytest.mark.parametrize(("happens", "left", "said"), EVENTS)
@pytest.mark.parametrize("resumed", [False, True], ids=["during", "before"])
def test_rows_are_logged_whatever_happened_to_the_file(
    happens: Callable[[Path], None], left: int, said: str, resumed: bool, tmp_path: Path
) -> None:
    metrics = MetricsFile(tmp_path)
    metrics.log_hyperparams()
    metrics.log_metrics({"a": 1.0}, 0)
    metrics.log_metrics({"b": 2.0}, 1)
    happens(metrics.path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if resumed:
            metrics = MetricsFile(tmp_path, kept=2)
            metrics.log_hyperparams()
            assert [r["step"] for r in read_metrics(tmp_path).rows] == ["0", "1"][:left]
        metrics.log_metrics({"epoch": 1, "a": 3.0, "b": 4.0}, 2)
    assert [str(w.message).removeprefix(f"{metrics.path} ")[: len(said)] for w in caught] == (
        [said] if said else []
    )
    _, rows, wrong = read_metrics(tmp_path)
    assert not wrong
    assert [row["step"] for row in rows] == [*["0", "1"][:left], "2"]
    assert (rows[-1]["a"], rows[-1]["b"]) == ("3.0", "4.0")
    assert metrics.rows == len(rows)
    assert metrics.path.is_file()
    assert not metrics.path.is_symlink()


def test_what_cannot_be_read_is_kept_under_a_free_name(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path)
    for n in range(2):
        metrics.path.write_text(f"mine {n}")
        with pytest.warns(UserWarning, match="it is kept as metrics.csv.damaged"):
            metrics.log_metrics({"a": 1.0}, n)
    assert (tmp_path / "metrics.csv.damaged").read_text() == "mine 0"
    assert (tmp_path / "metrics.csv.damaged-2").read_text() == "mine 1"


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_a_resumed_run_keeps_the_rows_of_its_state_to_the_byte(kept: int, tmp_path: Path) -> None:
    lines = WHOLE.splitlines(keepends=True)
    (tmp_path / "metrics.csv").write_text(WHOLE + "2,9,7.0,8")  # and a row that was cut short
    metrics = MetricsFile(tmp_path, kept)
    metrics.log_hyperparams()
    for line in lines[1 + kept :]:
        epoch, step, *values = line.strip().split(",")
        logged = {k: float(v) for k, v in zip("ab", values, strict=True) if v}
        metrics.log_metrics({"epoch": int(epoch), **logged}, int(step))
    assert (tmp_path / "metrics.csv").read_text() == WHOLE


def test_a_folder_that_is_gone_costs_a_warning_and_no_row(tmp_path: Path) -> None:
    run = tmp_path / "run"
    metrics = MetricsFile(run)
    metrics.log_metrics({"a": 1.0}, 0)
    shutil.move(run, tmp_path / "moved")
    run.write_text("in its place")
    with pytest.warns(UserWarning, match="1 rows of metrics wait in memory"):
        metrics.log_metrics({"a": 2.0}, 1)
    run.unlink()
    shutil.move(tmp_path / "moved", run)
    metrics.log_metrics({"a": 3.0}, 2)
    assert [row["a"] for row in read_metrics(run).rows] == ["1.0", "2.0", "3.0"]
