"""A run refuses other data than it began with, by saying what differs, unless told to take them."""

from __future__ import annotations

import shutil
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
import torch

from ae_lightning import VariationalAutoEncoder
from ae_lightning.cli.main import main
from ae_lightning.core.errors import UsageError
from ae_lightning.datamodules import ImageFolder, NumpyFile
from helpers.images import write_images
from helpers.training import fit

SHORT = ("--trainer.max_epochs", "1", "--model.latent", "2", "--trainer.callbacks", "[]")
AGAIN = ("fit", "--run", "run", "--resume", "--trainer.max_epochs", "2")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a folder of images, and one on arrays."""
    folder = tmp_path_factory.mktemp("trained") / "work"
    write_images(folder / "images", {"a": 20, "b": 20, "c": 20})
    np.savez(folder / "x.npz", x=np.random.default_rng(0).uniform(size=(30, 4)), y=np.arange(30))
    with chdir(folder):
        data = ("--config", "folder", "--data.path", "images", "--data.resize", "8")
        assert main(["fit", "--config", "vae", *data, *SHORT, "--run", "run"]) == 0
        arrays = ("--data", "NumpyFile", "--data.path", "x.npz", "--data.unit_interval", "true")
        assert main(["fit", "--config", "vae", *arrays, *SHORT, "--run", "run-x"]) == 0
    shutil.copytree(folder, folder.with_name("kept"))
    return folder


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Both as they were, where they were, since a run knows where its data lie."""
    shutil.rmtree(trained)
    shutil.copytree(trained.with_name("kept"), trained)
    monkeypatch.chdir(trained)
    return trained


def add(here: Path) -> None:
    shutil.copy(here / "images" / "a" / "0000.png", here / "images" / "a" / "new.png")


def take_a_class(here: Path) -> None:
    shutil.rmtree(here / "images" / "b")


def replace_one(here: Path) -> None:
    (here / "images" / "a" / "0000.png").unlink()
    write_images(here / "images" / "a", {"": 1}, side=16)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (add, " and held "),
        (take_a_class, "the class b is gone"),
        (replace_one, "as many, but others"),
    ],
)
def test_data_that_have_changed(here, capsys, change, told):
    change(here)
    for command in (
        ["test", "--run", "run"],
        ["validate", "--run", "run"],
        ["plot", "run", "reconstructions"],
        AGAIN,
    ):
        assert main([*command]) == 2, command
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert said.startswith("ae-lightning: the data are not those of run/checkpoints/"), said
        assert told in said
        assert said.endswith("Give those, or add --data_changed accept.")
    assert main(["test", "--run", "run", "--data_changed", "accept"]) == 0
    assert main(["plot", "run", "reconstructions", "--data_changed", "accept"]) == 0
    assert main([*AGAIN, "--data_changed", "accept"]) == 0
    assert main([*AGAIN[:-1], "3"]) == 0  # these are now the run's data


def test_another_data_set_in_the_place_of_the_first(here, capsys):
    write_images(here / "other", {"x": 30, "y": 30})
    assert main([*AGAIN, "--data.path", "other"]) == 2
    said = capsys.readouterr().err
    assert "the class x is new; the class y is new; the class a is gone" in said
    assert main(["test", "--run", "run", "--config", "digits"]) == 2


def test_the_same_data_at_another_place(here):
    (here / "images").rename(here / "moved")
    for file in (here / "moved").rglob("*.png"):
        file.touch()
    assert main(["test", "--run", "run", "--data.path", "moved"]) == 0
    assert main([*AGAIN, "--data.path", str(here / "moved")]) == 0


def test_arrays_are_told_by_their_content(here, capsys):
    x = dict(np.load("x.npz"))
    np.savez_compressed("same.npz", **x)
    assert main(["test", "--run", "run-x", "--data.path", "same.npz"]) == 0
    x["x"][3, 0] = 0.5
    np.savez("x.npz", **x)
    assert main(["test", "--run", "run-x"]) == 2
    assert "as many, but others, are in train" in capsys.readouterr().err


def test_from_python_too(tmp_path):
    folder = write_images(tmp_path / "images", {"": 30})

    def data() -> ImageFolder:
        return ImageFolder(folder, batch_size=8)

    def model() -> VariationalAutoEncoder:
        return VariationalAutoEncoder((3, 8, 8), latent=2)

    trainer = fit(model(), data(), tmp_path, max_epochs=1)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    fit(model(), data(), tmp_path, resume=tmp_path / "a.ckpt", max_epochs=2)
    write_images(tmp_path / "images" / "more", {"": 3})
    with pytest.raises(UsageError, match="the data are not those of the checkpoint: "):
        fit(model(), data(), tmp_path, resume=tmp_path / "a.ckpt", max_epochs=2)
    others = data()
    others.data_changed = "accept"
    fit(model(), others, tmp_path, resume=tmp_path / "a.ckpt", max_epochs=2)


def test_what_a_fingerprint_tells():
    def of(x: torch.Tensor, tmp: Path = Path("x.pt")) -> object:
        data = NumpyFile(str(tmp))
        data.__dict__["_arrays"] = lambda: {"x": x}
        return data.fingerprint

    x = torch.arange(12.0).view(6, 2)
    assert of(x) == of(x.clone())
    assert of(x) != of(x.flip(0))
    assert of(x) != of(x.view(3, 4))
