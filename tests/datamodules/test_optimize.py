"""What optimize writes says what it is, and a wrong use of it is one sentence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ae_lightning.cli.main import main
from ae_lightning.core.errors import UsageError
from ae_lightning.datamodules import ImageFolder, Stream
from ae_lightning.datamodules.streaming import writing
from helpers.images import write_images
from helpers.streaming import SMALL, optimized


def files_in(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_what_is_written_says_what_it_is(images, tmp_path, capsys):
    args = ["--chunk_mb", str(SMALL), "--val_size", "9", "--num_workers", "1"]
    assert main(["optimize", images, str(tmp_path / "new" / "out"), *args]) == 0
    first, _, last = capsys.readouterr().out.strip().splitlines()
    assert first.startswith(f"{tmp_path}/new/out: 42 train, 9 val, 9 test examples of shape (3, 8")
    assert first.endswith(" in 20 chunks")
    assert last.startswith("ae-lightning fit --config vae --config stream --data.path ")
    known = json.loads((tmp_path / "new" / "out" / "stream.json").read_text())
    assert (known["shape"], known["classes"]) == ([3, 8, 8], ["a", "c"])
    assert known["counts"] == {"train": 42, "val": 9, "test": 9}
    assert files_in(tmp_path / "new")[-1] == "out/val/chunk-2.bin"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UsageError("no."), OSError(28, "full")])
def test_what_is_interrupted_leaves_nothing(images, tmp_path, monkeypatch, error):
    written = writing.write_split

    def interrupted(data: ImageFolder, split: str, *rest: object) -> list[str]:
        if split == "test":
            assert files_in(tmp_path / "out.partial")
            raise error
        return written(data, split, *rest)

    monkeypatch.setattr(writing, "write_split", interrupted)
    with pytest.raises(UsageError if isinstance(error, OSError) else type(error)):
        optimized(images, tmp_path / "out")
    assert not any(tmp_path.iterdir())


def test_what_a_kill_leaves_is_no_data_and_is_named(images, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    monkeypatch.setattr(writing, "order_of", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        optimized(images, tmp_path / "out")
    monkeypatch.undo()
    partial = tmp_path / "out.partial"
    with pytest.raises(UsageError, match=r"out\.partial was left by an interrupted optimize"):
        optimized(images, tmp_path / "out")
    with pytest.raises(UsageError, match=r"out\.partial is not a streamed folder"):
        Stream(str(partial)).setup()


def test_what_streaming_would_refuse_is_not_written(images, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "MOST_CHUNKS", 19)
    with pytest.raises(UsageError, match=r"^chunk_mb is 0\.0007, which makes 20 chunks: raise it"):
        optimized(images, tmp_path / "out")
    write_images(tmp_path / "odd", {"a\tb": 40})
    with pytest.raises(UsageError, match=r"/odd cannot be written as chunks: the class 'a\\tb' is"):
        optimized(tmp_path / "odd", tmp_path / "out")
    assert files_in(tmp_path / "out") == []


def test_an_empty_folder_is_written_to_and_any_other_is_refused(images, tmp_path):
    (tmp_path / "out").mkdir()
    optimized(images, tmp_path / "out")
    before = files_in(tmp_path)
    with pytest.raises(UsageError, match=r"/out already exists: name a new folder"):
        optimized(images, tmp_path / "out")
    assert files_in(tmp_path) == before


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["nowhere", "out"], "there is no folder nowhere: give optimize a folder of images."),
        (["images", "images/out"], "images/out lies in images, whose files must be images: name"),
        (["images", "out", "--chunk_mb", "0"], "chunk_mb is 0.0: expected above 0 and at most 2"),
        (
            ["images", "out", "--resize", "big"],
            "optimize: resize is big: expected a whole number or a list of 2 whole numbers.",
        ),
        (
            ["images", "out", "--sise", "3"],
            "optimize: --sise is not an option: did you mean --",
        ),
        (["images"], "optimize: out must be given."),
        (["broken", "out"], "broken/a.png cannot be read as an image (of no known format): rep"),
        (["mixed", "out"], "mixed/b.png is 9 × 9 pixels, and the first image 8 × 8: give resize"),
        (["images", "broken/a.png/out"], "broken/a.png/out cannot be written: Not a directory."),
    ],
)
def test_a_wrong_use_of_optimize(args, sentence, images, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").symlink_to(images)
    write_images(tmp_path / "broken", {"": 4})
    (tmp_path / "broken" / "a.png").write_bytes(b"nothing")
    write_images(tmp_path / "mixed", {"": 4})
    write_images(tmp_path / "large", {"": 1}, side=9)
    shutil.move(tmp_path / "large" / "0000.png", tmp_path / "mixed" / "b.png")
    before = files_in(tmp_path)
    assert main(["optimize", *args]) == 2
    assert capsys.readouterr().err.startswith(f"ae-lightning: {sentence}")
    assert files_in(tmp_path) == before
