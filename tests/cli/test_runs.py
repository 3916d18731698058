"""A run is a directory: refused, resumed, and shared by several processes."""

import os
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from ae_lightning.cli.main import main
from ae_lightning.core.files import damage
from ae_lightning.training import run_directory
from helpers.jobs import Job
from helpers.runs import FIT, rows


def weights(run: Path) -> dict[str, torch.Tensor]:
    state = torch.load(run_directory.states(run)[0], weights_only=True)
    return state["state_dict"]


def equal(a: Path, b: Path) -> bool:
    A, B = weights(a), weights(b)
    return A.keys() == B.keys() and all(torch.equal(A[k], B[k]) for k in A)


# ------------------------------------------------------------------------ the directory


def test_a_run_holds_what_the_design_says(whole: Path) -> None:
    assert {"config.yaml", "checkpoints", "metrics.csv", "pictures"} <= set(os.listdir(whole))
    newest, former = run_directory.states(whole)
    assert run_directory.step_of(newest) > run_directory.step_of(former)
    assert set(os.listdir(whole / "checkpoints")) == {"best.ckpt", newest.name, former.name}


def test_metrics_have_a_row_for_every_validation(whole: Path) -> None:
    validated = [r for r in rows(whole) if r["val/loss"]]
    assert [r["epoch"] for r in validated] == ["0", "1", "2"]
    for row in validated:
        D, R = float(row["val/distortion"]), float(row["val/rate"])
        assert float(row["val/elbo"]) == pytest.approx(-(D + R), abs=1e-4)


def test_a_directory_that_holds_a_run_is_refused_untouched(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.stat().st_mtime_ns for p in copy.rglob("*")}
    assert main([*FIT, "--run", "copy"]) == 2
    assert "copy already contains a run: add --resume to continue it" in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in copy.rglob("*")} == before


def test_an_empty_directory_is_taken_and_survives_a_failed_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("keep")
    assert main([*FIT, "--run", "mine", "--model.latent", "0"]) == 2
    assert os.listdir("mine") == ["notes.txt"]


def test_claims_are_numbered_and_withdrawn_without_a_trace(tmp_path: Path) -> None:
    root = tmp_path / "deep" / "runs"
    one, two = run_directory.NewRun.numbered("a", root), run_directory.NewRun.numbered("a", root)
    assert (one.run.name, two.run.name) == ("a-1", "a-2")
    one.withdraw()
    assert run_directory.NewRun.numbered("a", root).run.name == "a-1"
    run_directory.NewRun(root / "a-3").withdraw()
    assert sorted(os.listdir(root)) == ["a-1", "a-2"]


# ---------------------------------------------------------------------------- resuming


@pytest.mark.parametrize("stop", [["--trainer.max_epochs", "1"], ["--trainer.max_steps", "8"]])
def test_a_resumed_run_equals_an_uninterrupted_one_to_the_bit(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: list[str]
) -> None:
    """Stopped after an epoch, or in the middle of one."""
    monkeypatch.chdir(tmp_path)
    assert main([*FIT, "--run", "b", *stop]) == 0
    assert run_directory.step_of(run_directory.states(Path("b"))[0]) < run_directory.step_of(
        run_directory.states(whole)[0]
    )
    onward = ["--trainer.max_epochs", "3", "--trainer.max_steps", "-1"]
    assert main(["fit", "--run", "b", "--resume", *onward]) == 0
    assert equal(whole, Path("b"))
    assert rows(whole) == rows(Path("b"))
    assert yaml.safe_load(Path("b/config.yaml").read_text())["trainer"]["max_epochs"] == 3


def test_one_line_starts_a_run_and_continues_it(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a cluster requeues a job."""
    monkeypatch.chdir(tmp_path)
    job = [*FIT, "--trainer.max_epochs", "3", "--run", "b", "--resume", "auto"]
    assert main([*job, "--trainer.max_steps", "8"]) == 0
    assert "continues" not in capsys.readouterr().out
    assert main([*job, "--trainer.max_steps", "-1"]) == 0
    assert "b continues from step-00000008.ckpt" in capsys.readouterr().out
    assert equal(whole, Path("b"))
    assert rows(whole) == rows(Path("b"))


@pytest.mark.parametrize(
    ("flags", "right"),
    [
        (["--resume", "auto"], "--resume auto starts or continues a run: name it by --run DIR"),
        (["--resume", "atuo", "--run", "b"], "--resume: invalid choice: 'atuo'"),
    ],
)
def test_a_wrong_resume_is_one_sentence(
    flags: list[str], right: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, *flags]) == 2
    assert right in capsys.readouterr().err


def test_a_damaged_state_is_named_and_passed_over(
    whole: Path, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newest, former = run_directory.states(copy)
    flipped = bytearray(newest.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    os.unlink(newest)  # best.ckpt may be the same file
    newest.write_bytes(flipped)
    assert main(["fit", "--run", "copy", "--resume"]) == 0
    said = capsys.readouterr().out
    assert f"copy/checkpoints/{newest.name} is skipped: " in said
    assert f"copy continues from {former.name}" in said
    assert equal(whole, copy)
    assert rows(whole) == rows(copy)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short"])
def test_a_truncated_state_is_passed_over(copy: Path, content: bytes) -> None:
    newest, former = run_directory.states(copy)
    newest.write_bytes(content)
    found, passed = run_directory.newest_state(copy)
    assert (found, len(passed)) == (former, 1)


def test_a_complete_run_says_so(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--run", "copy", "--resume"]) == 0
    assert "the run was complete: raise --trainer.max_epochs" in capsys.readouterr().out


def test_a_run_without_a_state_starts_anew(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(copy / "checkpoints")
    assert main(["fit", "--run", "copy", "--resume", "--trainer.max_epochs", "1"]) == 0
    assert "copy continues from its start" in capsys.readouterr().out
    assert [r["epoch"] for r in rows(copy) if r["val/loss"]] == ["0"]


def test_resuming_without_a_name_is_told_the_newest_run(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(whole, "runs/vae-digits-1")
    assert main(["fit", "--resume"]) == 2
    assert "such as --run runs/vae-digits-1" in capsys.readouterr().err


# ------------------------------------------------------------------------- several processes


def test_two_processes_share_one_model_and_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ["--config", "vae", "--config", "digits", "--config", "fsdp"]
    devices = ["--trainer.accelerator", "cpu", "--trainer.devices", "2"]
    command = ["ae_lightning", "fit", *args, *devices, "--trainer.max_epochs", "1"]
    code, said = Job(command, tmp_path).end(180)
    assert code == 0, said
    assert os.listdir(tmp_path / "runs") == ["vae-digits-1"]
    assert said.count("VariationalAutoEncoder (") == 1
    assert said.count("best validation") == 1
    assert "is skipped" not in said  # of pictures, which are drawn of the whole model
    run = tmp_path / "runs" / "vae-digits-1"
    assert [r["epoch"] for r in rows(run) if r["val/loss"]] == ["0"]
    assert damage(run_directory.best_checkpoint(run)) is None
    # Its checkpoints are any strategy's.
    monkeypatch.chdir(tmp_path)
    alone = ["--trainer.strategy", "auto", "--trainer.devices", "1", "--trainer.max_epochs", "2"]
    assert main(["fit", "--run", str(run), "--resume", *alone]) == 0
    assert [r["epoch"] for r in rows(run) if r["val/loss"]] == ["0", "1"]


def test_processes_launched_apart_need_a_named_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert main(FIT) == 2
    assert "several processes need one directory: name it by --run" in capsys.readouterr().err
    assert not os.listdir(tmp_path)
