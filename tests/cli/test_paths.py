"""A path is what a user means by it, in every option, config and argument: ~ is their home."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ae_lightning import AutoEncoder, UsageError
from ae_lightning.callbacks import write_report
from ae_lightning.cli.main import main
from ae_lightning.core.files import path_of
from ae_lightning.datamodules import MNIST, ImageFolder, NumpyFile, Stream
from ae_lightning.theory.page import write_page
from ae_lightning.training import run_directory
from helpers.attack import one_sentence
from helpers.runs import FIT, rows

SHORT = ("--trainer.limit_train_batches", "2", "--trainer.max_epochs", "1")
NOBODY = "~no-such-user/x"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home directory, and another one to work in."""
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize("run", [["--run=~/a"], ["--run", "~/a"]], ids=" ".join)
def test_all_of_a_run_lies_in_one_place(run: list[str], home: Path) -> None:
    config = {"trainer": {"logger": {"class_path": "CSVLogger", "init_args": {"save_dir": "~/b"}}}}
    (home / "more.yaml").write_text(yaml.safe_dump(config))
    assert main([*FIT, "--config=~/more.yaml", *SHORT, *run]) == 0
    assert set(os.listdir(home / "a")) >= {"config.yaml", "checkpoints", "metrics.csv"}
    assert list((home / "b").rglob("metrics.csv"))
    assert os.listdir() == []
    [state] = run_directory.states(home / "a")
    assert main(["fit", *run, "--resume", "--trainer.max_epochs", "2"]) == 0
    assert run_directory.states(home / "a")[1] == state
    assert not list((home / "a/checkpoints").glob("*.damaged"))
    assert [r["epoch"] for r in rows(home / "a") if r["val/loss"]] == ["0", "1"]


def test_every_command_that_reads_a_run_finds_it_at_home(whole: Path, home: Path) -> None:
    shutil.copytree(whole, home / "a")
    best = "~/a/checkpoints/best.ckpt"
    assert main(["summary", "~/a"]) == 0
    assert main(["encode", best, "--out=~/c.npz"]) == 0
    assert main(["validate", "--run=~/a"]) == 0
    assert main(["plot", best, "filters", "--out=~/o"]) == 0
    assert (home / "c.npz").exists()
    assert (home / "o/index.html").exists()
    assert AutoEncoder.load_from_checkpoint(best).latent > 0
    assert write_report(Path("~/a"), "a run") == home / "a/index.html"
    assert write_page([], Path("~/proofs"), 0) == home / "proofs/index.html"
    assert os.listdir() == []


def test_data_lie_at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert NumpyFile("~/x.npy").path == home / "x.npy"
    assert ImageFolder("~/x").path == home / "x"
    assert MNIST(root="~/x").root == home / "x"
    streamed = Stream("~/x", cache_dir="~/y")
    assert (streamed.path, streamed.cache_dir) == (str(home / "x"), home / "y")
    assert Stream("s3://a/~x").path == "s3://a/~x"
    monkeypatch.setenv("AE_DATA", "~/x")
    assert MNIST().root == home / "x"


@pytest.mark.parametrize(
    "args",
    [
        [*FIT, "--run={}"],
        ["fit", "--resume", "--run={}"],
        ["test", "--ckpt_path={}"],
        ["encode", "{}", "--out=c.npz"],
        ["fit", "--config={}"],
        ["fit", "--config", "vae", "--config", "folder", "--data.path={}"],
        [*FIT, "--data", "NumpyFile", "--data.path={}"],
        ["fit", "--config", "vae", "--config", "mnist", "--data.root={}"],
        ["fit", "--config", "vae", "--config", "stream", "--data.path={}"],
        ["optimize", "{}", "out"],
        ["summary", "{}"],
        ["plot", "{}"],
        ["theory", "score", "--report={}"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("path", ["", NOBODY])
def test_what_is_no_path_is_one_sentence(
    args: list[str], path: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([a.format(path) for a in args]) == 2
    said = one_sentence(capsys.readouterr().err)
    assert ("there is no user no-such-user" if path else "expected a path") in said
    assert os.listdir() == []


MAKES: list[Callable[[str], object]] = [
    path_of,
    NumpyFile,
    ImageFolder,
    Stream,
    lambda path: MNIST(root=path),
    AutoEncoder.load_from_checkpoint,
    lambda path: write_report(path, ""),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("path", ["", "a\0b", NOBODY, 3])
def test_python_refuses_what_is_no_path(make: Callable[[str], object], path: str) -> None:
    with pytest.raises(UsageError, match=r"is .*: (expected a path|there is no user no-such-user)"):
        make(path)


def test_a_folder_named_like_a_home_is_reached_from_here(home: Path) -> None:
    for name in ("~", "~x", "~no-such-user"):
        assert path_of(f"./{name}/a") == path_of(path_of(f"./{name}/a")) == Path.cwd() / name / "a"
    assert path_of("a~/b~") == Path("a~/b~")
