"""A checkpoint is enough for everything that comes after training."""

import os
import pickle
import shutil
import zipfile
from contextlib import chdir
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from ae_lightning.cli.main import main
from ae_lightning.training import run_directory
from helpers.runs import rows


def figures(text: str) -> dict[str, float]:
    pairs = [line.split() for line in text.splitlines() if line.startswith("  ")]
    return {name: float(value) for name, value in pairs}


@pytest.mark.parametrize("batch", ["256", "17"])
def test_validate_repeats_the_last_validation_of_fit(
    copy: Path, batch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    newest = run_directory.states(copy)[0]
    args = ["--ckpt_path", str(newest), "--data.batch_size", batch]
    assert main(["validate", *args]) == 0
    found = figures(capsys.readouterr().out)
    last = [r for r in rows(copy) if r["val/loss"]][-1]
    assert {"val/loss", "val/elbo", "val/rate", "val/mse"} <= found.keys()
    for name, value in found.items():
        assert value == pytest.approx(float(last[name]), rel=1e-4), name


def test_test_needs_no_config_and_another_directory_is_no_hindrance(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(whole / "checkpoints" / "best.ckpt", "alone.ckpt")
    assert main(["test", "--ckpt_path", "alone.ckpt"]) == 0
    alone = figures(capsys.readouterr().out)
    assert main(["test", "--run", str(whole)]) == 0
    assert figures(capsys.readouterr().out) == alone
    assert os.listdir(tmp_path) == ["alone.ckpt"]


@pytest.fixture(scope="module")
def of_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a folder of images that it was given by a relative path."""
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "images").mkdir()
    for i in range(20):
        Image.new("RGB", (20, 20), (12 * i, 100, 200)).save(folder / "images" / f"{i}.png")
    small = ["--data.resize", "8", "--trainer.max_epochs", "1", "--model.encoder.widths", "[8]"]
    with chdir(folder):
        data = ["--config", "folder", "--data.path", "images", "--data.num_workers", "0"]
        assert main(["fit", "--config", "vae", *data, *small, "--run", "run"]) == 0
    return folder


def test_a_run_finds_its_data_from_another_folder(
    of_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["test", "--run", str(of_images / "run")]) == 0
    config = yaml.safe_load((of_images / "run" / "config.yaml").read_text())
    assert config["data"]["init_args"]["path"] == str(of_images / "images")


def test_pictures_are_drawn_of_a_folder_of_images(of_images: Path, tmp_path: Path) -> None:
    drawn = ["reconstructions", "--data", str(of_images / "images"), "--out", str(tmp_path / "out")]
    assert main(["plot", str(of_images / "run"), *drawn]) == 0
    assert list((tmp_path / "out" / "pictures" / "reconstructions").glob("*.png"))
    config = (tmp_path / "out" / "index.html").read_text()
    assert "ImageFolder" in config


def test_flags_override_what_a_checkpoint_records(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", "--run", "copy"]) == 0
    one = figures(capsys.readouterr().out)
    many = ["--model.samples", "32", "--data.split_seed", "1"]
    assert main(["validate", "--run", "copy", *many]) == 0
    other = figures(capsys.readouterr().out)
    assert one["val/distortion"] != other["val/distortion"]


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--model.latent", "3"], "does not fit the model: encoder.layers.2.weight is of shape"),
        (["--config", "sprites"], "holds a model for data of shape (1, 8, 8)"),
    ],
)
def test_what_contradicts_a_checkpoint_is_refused(
    copy: Path, flags: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", "--run", "copy", *flags]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1


def foreign(path: Path, kind: str) -> None:
    if kind == "weights of another package":
        torch.save({"state_dict": {"w": torch.zeros(2)}}, path)
    elif kind == "a tensor":
        torch.save(torch.zeros(2), path)
    elif kind == "another zip file":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "hello")
    else:
        path.write_bytes(pickle.dumps([1, 2]))


@pytest.mark.parametrize(
    "kind", ["weights of another package", "a tensor", "another zip file", "a pickle"]
)
def test_a_file_that_is_no_checkpoint_of_ours_is_one_sentence(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign(tmp_path / "x.ckpt", kind)
    assert main(["validate", "--ckpt_path", str(tmp_path / "x.ckpt")]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "x.ckpt is not a checkpoint" in said


def test_summary_tells_the_best_validation(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "copy"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    best = min((r for r in rows(copy) if r["val/loss"]), key=lambda r: float(r["val/loss"]))
    assert f"best validation: epoch {best['epoch']}, step " in said
    assert f"ELBO {float(best['val/elbo']):.4g} nats" in said
    assert f"mean squared error {float(best['val/mse']):.4g} per value" in said  # of images or not
    assert "copy/checkpoints/best.ckpt" in said


def test_summary_keeps_a_path_whole(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = copy.rename("a" * 90)
    assert main(["summary", str(run)]) == 0
    assert f"{run}/checkpoints/best.ckpt" in capsys.readouterr().out.split()
