"""A run's directory from a stranger, or with a user's own files in it: nothing hangs, nothing that
is not the run's own is changed, and training goes on or says in one sentence why not."""

from __future__ import annotations

import os
import re
import shutil
import warnings
from pathlib import Path

import pytest
import torch

from ae_lightning.cli.loggers import recorded_id
from ae_lightning.cli.main import main
from ae_lightning.core.errors import UsageError
from ae_lightning.training import run_directory
from ae_lightning.training.checkpoint_io import AtomicCheckpointIO
from ae_lightning.training.metrics_csv import read_metrics
from helpers.attack import command, harmless, one_sentence
from helpers.run_mutations import (
    ANYWHERE,
    BEST,
    DRAWN,
    METRICS,
    NEWEST,
    PRECIOUS,
    REFUSED,
    REFUSED_BY_FIT,
    Mutation,
    content,
    link,
    pipe,
)

# The commands that read a run, in the order in which they are given the same directory.
COMMANDS = {
    "summary": ["summary", "run"],
    "validate": ["validate", "--run", "run"],
    "test": ["test", "--run", "run"],
    "encode": ["encode", "run", "--limit", "9", "--out", "run/codes.npz", "--force"],
    "plot": ["plot", "run", "kl_per_dimension"],
    "fit": ["fit", "--run", "run", "--resume", "--trainer.max_epochs", "2"],
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps with one picture."""
    folder = tmp_path_factory.mktemp("good")
    report = ["--trainer.callbacks", "ae_lightning.callbacks.Report", "--trainer.callbacks.names"]
    small = ["--data.size", "300", "--data.val_size", "20", "--trainer.limit_train_batches", "2"]
    short = ["--trainer.max_epochs", "1", "--checkpoints.every_n_steps", "1"]
    configs = ["--config", "vae", "--config", "manifold", *report, "[curves]", *small, *short]
    assert main(["fit", *configs, "--run", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def run(good: Path, tmp_path: Path) -> Path:
    """A copy of the run, beside a file that is not its own."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").write_text(PRECIOUS)
    return Path(shutil.copytree(good, tmp_path / "run"))


def outside(run: Path) -> dict[str, bytes]:
    """What lies outside the run, but for the run's own folders that a mutation has moved there."""
    files = [p for p in (run.parent / "outside").rglob("*") if p.is_file()]
    return {str(p): p.read_bytes() for p in files}


def ends(name: str, run: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run a command on the run; return its exit code and all it said, once it has done no harm."""
    capsys.readouterr()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        code, watch = command(*COMMANDS[name], folder=run.parent)
    harmless(watch, run)
    said = capsys.readouterr()
    if code:
        return code, one_sentence(said.err)
    return code, "\n".join([said.out, said.err, *(str(w.message) for w in caught)])


ALL = [(*entry, COMMANDS) for entry in ANYWHERE.values()]
DRAWING = [(*entry, ("summary", "plot", "fit")) for entry in DRAWN.values()]


@pytest.mark.parametrize(("mutate", "said", "names"), ALL + DRAWING, ids=[*ANYWHERE, *DRAWN])
def test_commands_go_on_and_change_nothing_outside(
    mutate: Mutation, said: str, names: list[str], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mutate(run)
    before = outside(run)
    for name in names:
        code, told = ends(name, run, capsys)
        assert code == 0, (name, told)
        assert outside(run) == before, name
    assert said in told  # by fit, the last one
    columns, rows, wrong = read_metrics(run)
    assert not wrong
    assert int(rows[-1]["step"]) >= 3
    assert {"epoch", "step"} <= {*columns}
    assert run_directory.newest_state(run)[0] == run / "checkpoints/step-00000004.ckpt"
    assert run_directory.best_checkpoint(run) == run / BEST
    for written in (METRICS, "index.html", "config.yaml", "plots/index.html"):
        assert (run / written).is_file()
        assert not (run / written).is_symlink()


@pytest.mark.parametrize(("mutate", "said"), REFUSED.values(), ids=REFUSED)
def test_every_command_refuses_in_one_sentence_and_changes_nothing(
    mutate: Mutation, said: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mutate(run)
    before = {path: os.lstat(path).st_mtime_ns for path in run.parent.rglob("*")}
    for name in COMMANDS:
        code, sentence = ends(name, run, capsys)
        assert code == 2
        assert re.search(said, sentence), (name, sentence)
    del before[run]  # which held the lock for a moment
    for path, time in before.items():
        assert os.lstat(path).st_mtime_ns == time, path


@pytest.mark.parametrize(("mutate", "said"), REFUSED_BY_FIT.values(), ids=REFUSED_BY_FIT)
def test_fit_refuses_what_it_cannot_lock_and_the_others_read_on(
    mutate: Mutation, said: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mutate(run)
    before = outside(run)
    for name in COMMANDS:
        code, sentence = ends(name, run, capsys)
        assert code == (2 if name == "fit" else 0), sentence
    assert said in sentence
    assert outside(run) == before


MINE = {
    "step-00000000-mine.ckpt": "",
    "step-keep.ckpt": "",
    "step-.ckpt": "",
    "step-1.ckpt": "",
    "step-٠٠٠٠٠٠٠٠.ckpt": "",
    "step-00000003.ckpt.bak": "",
    "step-00000099.ckpt.damaged": "",
    "mine.partial": "",
    ".mine.01234567.partial": "",
    ".step-keep.ckpt.01234567.partial": "",
    "notes/step-00000001.ckpt": "",
    # These bear the name of a state, but the run has not saved them.
    "step-00000000.ckpt": "",
    "step-00000099.ckpt": "step-00000099.ckpt.damaged-2",
}


def test_files_that_the_run_has_not_saved_are_neither_removed_nor_changed(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoints = run / "checkpoints"
    for name in MINE:
        (checkpoints / name).parent.mkdir(exist_ok=True)
        (checkpoints / name).write_text(name)
    for name in COMMANDS:
        code, told = ends(name, run, capsys)
        assert code == 0, (name, told)
    for name, now in MINE.items():
        assert (checkpoints / (now or name)).read_text() == name
    own = {"best.ckpt", "step-00000003.ckpt", "step-00000004.ckpt"}
    mine = {Path(now or name).parts[0] for name, now in MINE.items()}
    assert set(os.listdir(checkpoints)) == own | mine


def test_a_state_that_a_user_has_copied_back_is_kept(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a state as good as any, but of a step before the two that the run knows of."""
    copy = run / "checkpoints" / "step-00000000.ckpt"
    shutil.copy(run / NEWEST, copy)
    whole = copy.read_bytes()
    assert ends("fit", run, capsys)[0] == 0
    assert copy.read_bytes() == whole


def test_a_state_that_names_others_removes_none_of_them(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = torch.load(run / NEWEST, weights_only=True)
    names = ["../../outside/precious", "/etc/passwd", "../config.yaml", "mine", "best.ckpt"]
    state["resuming"]["states"] += names
    AtomicCheckpointIO().save_checkpoint(state, run / NEWEST)
    (run / "checkpoints" / "mine").write_text("mine")
    before = outside(run)
    assert ends("fit", run, capsys)[0] == 0
    assert outside(run) == before
    assert {"mine", "best.ckpt"} <= set(os.listdir(run / "checkpoints"))


def test_what_a_file_names_is_text_on_a_page(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = "<script>alert(1)<"
    (run / "pictures" / evil).mkdir()
    shutil.copy(next((run / "pictures/curves").glob("*.png")), run / "pictures" / evil / "1.png")
    content(METRICS, lambda text: text.replace(b"train/rate", evil.encode()))(run)
    (run / "config.yaml").write_text((run / "config.yaml").read_text() + f"# {evil}\n")
    assert ends("fit", run, capsys)[0] == 0
    page = (run / "index.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;" in page
    assert "<script" not in page.lower()


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/b", "a\\b", "..", "x" * 300, "\x1b[2J"])
def test_an_id_of_weights_and_biases_that_is_a_path_is_refused(run: Path, name: str) -> None:
    (run / "wandb_id").write_text(name)
    with pytest.raises(UsageError, match=r"wandb_id names .*: expected a file's name; remove"):
        recorded_id(run)


@pytest.mark.parametrize("mutate", [pipe("wandb_id"), link("wandb_id", "/dev/zero")])
def test_an_id_that_is_not_a_file_is_refused(run: Path, mutate: Mutation) -> None:
    mutate(run)
    with pytest.raises(UsageError, match=r"wandb_id is not a regular file; remove"):
        recorded_id(run)


@pytest.mark.parametrize("name", ["metrics.csv", "index.html", "pictures"])
def test_a_new_run_overwrites_nothing_that_was_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("mine")
    assert main(["fit", "--config", "vae", "--config", "manifold", "--run", "."]) == 2
    assert f". contains a {name}, which a run would overwrite" in one_sentence(
        capsys.readouterr().err
    )
    assert os.listdir(tmp_path) == [name]
    assert (tmp_path / name).read_text() == "mine"
