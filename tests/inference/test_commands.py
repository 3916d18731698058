"""Encode, reconstruct and denoise one's own files: what is written is what the model says."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from ae_lightning import UsageError, load
from ae_lightning.cli.main import main
from ae_lightning.datamodules import Digits, ImageFolder
from ae_lightning.inference import TrainedModel, encode, reconstruct
from ae_lightning.inference.reconstructions import Reconstructions
from helpers.attack import one_sentence


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def codes_of(table: pd.DataFrame, name: str = "code") -> np.ndarray:
    return table.filter(regex=f"^{name}_").to_numpy(np.float32)


def test_all_examples_are_encoded_clean_and_in_order(run: Path, digits: TrainedModel) -> None:
    table = encode(run)
    data = Digits()
    pairs = [
        data.pairs(s, range(len(data.sets[s])))
        for s in ("train", "val", "test")
        if not data.setup()
    ]
    x, y = torch.cat([p.x for p in pairs]), torch.cat([p.y for p in pairs])
    assert len(table) == 1797
    assert (table.label.to_numpy() == y.numpy()).all()
    np.testing.assert_allclose(codes_of(table), digits.code(x), atol=1e-5)
    np.testing.assert_allclose(codes_of(table, "spread"), digits.spread(x), atol=1e-5)
    assert [table.path[0], table.path[1796]] == ["train/0", "test/296"]
    assert encode(run, split="test").equals(table[-297:].reset_index(drop=True))
    few = encode(run, "digits", limit=5, batch_size=2)
    np.testing.assert_allclose(codes_of(few), codes_of(table[:5]), atol=1e-5)


@pytest.mark.parametrize("suffix", ["csv", "npz", "parquet"])
def test_the_table_holds_the_same_in_every_format(
    suffix: str, run: Path, digits: TrainedModel, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = f"codes.{suffix}"
    assert main(["encode", str(run), "--out", out, "--split", "val", "--batch_size", "100"]) == 0
    assert f"{out}: the codes of 150 examples, of size 16" in capsys.readouterr().out
    table = encode(digits, split="val")
    if suffix == "npz":
        with np.load(out) as found:
            assert set(found) == {"path", "label", "code", "spread"}
            assert (found["path"] == table.path).all()
            np.testing.assert_allclose(found["code"], codes_of(table), atol=1e-5)
        return
    found = pd.read_csv(out) if suffix == "csv" else pd.read_parquet(out)
    assert (found.columns == table.columns).all()
    assert (found.path == table.path).all()
    np.testing.assert_allclose(codes_of(found), codes_of(table), atol=1e-5)


def test_images_are_prepared_as_in_training_and_never_corrupted(
    of_photographs: Path, photographs: Path, here: Path
) -> None:
    """The recorded size and fit, all files by name, with the folder as the class."""
    shutil.copytree(photographs, "mine")
    table = encode(of_photographs, "mine")
    assert list(table.path) == sorted(
        p.relative_to("mine").as_posix() for p in Path("mine").rglob("*.*")
    )
    assert list(table.label) == [path.split("/")[0] for path in table.path]
    data = ImageFolder("mine", resize=8, fit="stretch")
    x = torch.stack([data.render(Path("mine", path)) for path in table.path])
    np.testing.assert_allclose(codes_of(table), load(of_photographs).code(x), atol=1e-5)
    assert codes_of(table, "spread").size == 0
    corrupted = codes_of(encode(of_photographs, "mine", corrupt=True))
    assert np.abs(corrupted - codes_of(table)).max() > 0.01
    one = encode(of_photographs, "mine/cats/01.png")
    np.testing.assert_allclose(
        codes_of(one), codes_of(table[table.path == "cats/01.png"]), atol=1e-5
    )


def test_a_folder_is_reconstructed_under_its_own_names_and_formats(
    of_photographs: Path, photographs: Path, here: Path
) -> None:
    assert (
        main(["reconstruct", str(of_photographs), str(photographs), "--out", "r", "--error"]) == 0
    )
    names = sorted(p.relative_to(photographs) for p in photographs.rglob("*.*"))
    r = reconstruct(of_photographs, str(photographs))
    assert r.min() >= 0
    assert r.max() <= 1
    for name, expected in zip(names, r, strict=True):
        with Image.open(Path("r", name)) as image:
            assert image.format == {".png": "PNG", ".jpg": "JPEG"}[name.suffix]
            found = np.asarray(image).transpose(2, 0, 1) / 255
        near = 0.5 / 255 + 1e-6 if name.suffix == ".png" else 0.1
        np.testing.assert_allclose(found, expected, atol=near)
        assert Path("r", f"{name}.error.png").is_file()
    assert len(list(Path("r").rglob("*.*"))) == 2 * len(names)
    assert main(["denoise", str(of_photographs), "r", "--out", "again"]) == 0  # what was written


def test_maps_of_errors_are_made_if_they_are_asked_for(
    run: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reconstructions, "error", property(lambda _: pytest.fail("made")))
    assert main(["reconstruct", str(run), "--limit", "2", "--out", "r"]) == 0
    assert len(list(Path("r").rglob("*.png"))) == 2


def test_vectors_and_arrays_are_reconstructed_into_an_array(run: Path, here: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (6, 8, 8)).astype(np.uint8)
    np.save("x.npy", x)
    assert list(encode(run, "x.npy", limit=2).path) == ["0", "1"]
    assert encode(run, "x.npy").label.isna().all()
    assert main(["denoise", str(run), "x.npy", "--steps", "2", "--out", "r.npy"]) == 0
    expected = np.clip(load(run).denoise(x, steps=2), 0, 1)
    np.testing.assert_allclose(np.load("r.npy"), expected, atol=1e-5)


def test_nothing_is_overwritten_and_nothing_left_half_written(
    run: Path, photographs: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("r").mkdir()
    Path("r", "mine").write_text("mine")
    reconstruct = ["reconstruct", str(run), "digits", "--limit", "3", "--out", "r"]
    assert main(reconstruct) == 2
    assert "r exists: name another by --out, or add --force" in one_sentence(
        capsys.readouterr().err
    )
    assert main([*reconstruct, "--force"]) == 0
    assert Path("r", "mine").read_text() == "mine"
    assert len(list(Path("r", "train").iterdir())) == 3
    shutil.copytree(photographs, "bad")
    Path("bad", "zebras.png").write_bytes(b"no image")
    for command in (["reconstruct", "--out", "new"], ["encode", "--out", "new.csv"]):
        assert main([command[0], str(run), "bad", *command[1:]]) == 2
        assert "zebras.png" in one_sentence(capsys.readouterr().err)
    assert sorted(os.listdir()) == ["bad", "r"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ["digts"],
            "there are no data digts, as a file, a folder or shipped: did you mean digits?",
        ),
        (["mnist"], "for data of shape (1, 8, 8), not (1, 28, 28)"),
        (["vae"], "vae names no data"),
        (["digits", "--split", "tset"], "there is no split 'tset': did you mean test?"),
        (["digits", "--limit", "0"], "limit is 0: expected at least 1"),
        (["digits", "--batch_size", "-1"], "batch_size is -1"),
        (["digits", "--device", "gpu9"], "device is gpu9: expected auto, cpu"),
        (["digits", "digits"], "2 data are given: name one, or several image files"),
        (["empty"], "empty holds no images"),
        (["floats.npy"], "holds values from 0 to 3, not in [0, 1]"),
        (["wide.npy"], "for data of shape (1, 8, 8), not (1, 9, 9)"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    args: list[str], said: str, run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("empty").mkdir()
    np.save("floats.npy", np.linspace(0, 3, 128).reshape(2, 8, 8))
    np.save("wide.npy", np.zeros((2, 9, 9), np.uint8))
    assert main(["encode", str(run), *args, "--out", "c.npz"]) == 2
    assert said in one_sentence(capsys.readouterr().err)
    assert not Path("c.npz").exists()


def test_unreadable_files_follow_the_folders_rules(
    photographs: Path, here: Path, recwarn: pytest.WarningsRecorder
) -> None:
    shutil.copytree(photographs, "some")
    Path("some", "a.png").write_bytes(b"no image")
    Path("some", "notes.txt").write_text("no image either")
    fit = ["fit", "--config", "linear", "--config", "folder", "--data.path", "some"]
    fit += ["--data.resize", "8", "--data.unreadable", "skip", "--model.latent", "2"]
    assert main([*fit, "--trainer.max_epochs", "1", "--run", "run"]) == 0
    table = encode("run", "some", batch_size=1)
    assert "a.png" not in set(table.path)
    assert len(table) == 24
    assert any("1 image is left out" in str(w.message) for w in recwarn)


def test_the_data_themselves_are_not_written_over(
    of_photographs: Path, photographs: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(photographs, "mine")
    before = {p: p.read_bytes() for p in Path("mine").rglob("*.*")}
    assert main(["reconstruct", str(of_photographs), "mine", "--out", "mine/", "--force"]) == 2
    assert "out is mine, which holds the data" in one_sentence(capsys.readouterr().err)
    assert {p: p.read_bytes() for p in Path("mine").rglob("*.*")} == before


def test_the_working_folder_can_be_written_to(run: Path, here: Path) -> None:
    args = ["digits", "--limit", "2", "--force"]
    assert main(["reconstruct", str(run), *args, "--out", "."]) == 0
    assert sorted(os.listdir("train")) == ["0.png", "1.png"]


def test_sigterm_leaves_nothing_half_written(run: Path, here: Path) -> None:
    code = "import sys; from ae_lightning.cli.main import main; sys.exit(main(sys.argv[1:]))"
    args = ["sample", str(run), "-n", "200000", "--out", "samples"]
    job = subprocess.Popen([sys.executable, "-c", code, *args], cwd=here)
    while job.poll() is None and not any(here.glob(".samples.*")):
        time.sleep(0.05)
    job.terminate()
    assert job.wait(60) == 128 + signal.SIGTERM
    assert os.listdir() == []


def test_a_folder_is_read_as_it_was_recorded_with_its_depth(photographs: Path, here: Path) -> None:
    fit = ["fit", "--config", "linear", "--config", "folder", "--data.path", str(photographs)]
    fit += ["--data.resize", "8", "--data.bits", "8", "--model.latent", "2"]
    assert main([*fit, "--trainer.max_epochs", "1", "--run", "run"]) == 0
    assert len(encode("run")) == 24  # the data of training, from their record


def test_what_is_no_name_of_data_is_refused(digits: TrainedModel) -> None:
    with pytest.raises(UsageError, match="data is a list: expected a name, or several"):
        encode(digits, ["a.png"])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"there is no file or folder photos/a\.png"):
        encode(digits, "photos/a.png")
