"""How image files are read after training: as in training, unless an option says otherwise."""

import inspect
import shutil
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
import torch
from PIL import Image

from ae_lightning import UsageError
from ae_lightning.cli.main import main
from ae_lightning.datamodules import ImageFolder
from ae_lightning.inference import encode, load, reconstruct
from ae_lightning.inference.inputs import open_inputs
from ae_lightning.inference.reading import Reading, loaded
from ae_lightning.inference.trained import TrainedModel
from helpers.attack import one_sentence
from helpers.models import model_of


@pytest.fixture
def broken(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The photographs, one of which is cut off."""
    monkeypatch.chdir(tmp_path)
    folder = Path(shutil.copytree(photographs, "my scans ü"))
    file = folder / "cats" / "03.jpg"
    file.write_bytes(file.read_bytes()[:200])
    return folder


COMMANDS = {
    "encode": ["--out", "codes.csv"],
    "reconstruct": ["--out", "copies"],
    "denoise": ["--out", "copies"],
    "detect": ["--calibrate", "my scans ü", "--false_alarms", "0.5", "--out", "scores.csv"],
    "sample": ["-n", "2", "--out", "samples"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_cannot_be_read_is_refused_by_an_option_that_the_command_has(
    command: str, of_photographs: Path, broken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [command, str(of_photographs), str(broken), *COMMANDS[command]]
    assert main(args) == 2
    said = one_sentence(capsys.readouterr().err)
    assert "03.jpg cannot be read as an image" in said
    assert said.endswith("or set data.unreadable to skip.")
    assert not Path(COMMANDS[command][-1]).exists()
    with pytest.warns(UserWarning, match="1 image is left out: .*03.jpg"):
        assert main([*args, "--data.unreadable", "skip"]) == 0


def test_evaluate_and_walks_have_these_options_too(of_photographs: Path, broken: Path) -> None:
    only = ["--only", "reconstruction", "--split", "all", "--data", str(broken)]
    assert main(["evaluate", str(of_photographs), *only]) == 2
    with pytest.warns(UserWarning, match="left out"):
        assert main(["evaluate", str(of_photographs), *only, "--data.unreadable", "skip"]) == 0
    walk = ["traverse", str(of_photographs), "--data", str(broken), "--out", "a.png"]
    assert main(walk) == 2
    with pytest.warns(UserWarning, match="left out"):
        assert main([*walk, "--data.unreadable", "skip"]) == 0


def test_options_change_what_was_recorded_for_this_call_alone(of_photographs: Path) -> None:
    trained = load(of_photographs)
    black = loaded(trained, "cpu", {"background": 0.0})
    assert open_inputs(black).data.render.background == (0.0, 0.0, 0.0)
    assert open_inputs(black).data.render.fit == "stretch"  # as recorded
    assert open_inputs(trained).data.render.background == (1.0, 1.0, 1.0)
    with pytest.raises(UsageError, match=r"^reading is 'unredable': did you mean unreadable\?$"):
        encode(trained, reading={"unredable": "skip"})  # type: ignore[typeddict-unknown-key]


def test_transparent_images_are_laid_over_the_background_that_is_given(
    of_photographs: Path, tmp_path: Path
) -> None:
    Image.new("RGBA", (8, 8), (9, 9, 9, 0)).save(tmp_path / "clear.png")
    x = {
        value: next(open_inputs(trained, [str(tmp_path)]).batches()).pair.x
        for value in (0.0, 0.25)
        if (trained := loaded(of_photographs, "cpu", {"background": value}))
    }
    assert (x[0.0] == 0).all()
    assert torch.allclose(x[0.25], torch.full((1, 3, 8, 8), 64 / 255))


def mixed(folder: Path, first_deep: bool) -> ImageFolder:
    """Forty grey images, of 8 and of 16 bits in turn."""
    folder.mkdir()
    for i in range(40):
        deep = i % 2 != first_deep
        value = np.full((4, 4), 300 * i if deep else i, np.uint16 if deep else np.uint8)
        Image.fromarray(value).save(folder / f"{i:02}.png")
    return ImageFolder(str(folder), greyscale=True)


@pytest.mark.parametrize("split", [None, "train", "val", "test"])
def test_a_folder_of_mixed_depth_is_read_as_in_training(split: str | None, tmp_path: Path) -> None:
    data = mixed(tmp_path / "scans", first_deep=True)
    data.setup()
    model = model_of(shape=(1, 4, 4), value_range=(0.0, 1.0)).float().eval()
    trained = TrainedModel(model, tmp_path / "a.ckpt", data.record, {}, 0)
    for named in ([], [str(tmp_path / "scans")]):
        inputs = open_inputs(trained, named, split)
        x = torch.cat([batch.pair.x for batch in inputs.batches()])
        if split is None:
            assert len(x) == 40
        else:
            assert torch.equal(x, data.pairs(split, range(len(data.sets[split]))).x)


def test_bits_read_a_folder_of_mixed_depth_whose_first_image_has_few(tmp_path: Path) -> None:
    data = mixed(tmp_path / "scans", first_deep=False)
    model = model_of(shape=(1, 4, 4), value_range=(0.0, 1.0)).float().eval()
    trained = TrainedModel(model, tmp_path / "a.ckpt", data.record, {}, 0)
    with pytest.raises(UsageError, match=r"first image 8: set data\.bits to 32"):
        encode(trained)
    r = reconstruct(trained, reading={"bits": 32})
    x = torch.cat([b.pair.x for b in open_inputs(loaded(trained, "cpu", {"bits": 32})).batches()])
    assert torch.equal(x[:4, 0, 0, 0], torch.tensor([0, 300 / 65535, 2 / 255, 900 / 65535]))
    assert np.allclose(r, trained.reconstruct(x).clip(0, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["digits", "--data.bits", "8"], "data.bits says how image files are read: Digits has"),
        (["--data.unredable", "skip"], "encode: --data.unredable is not an option: did you mean"),
        (["--data.unreadable", "skp"], "encode: data.unreadable is skp: did you mean skip?"),
    ],
)
def test_an_option_that_says_nothing_is_refused(
    options: list[str], said: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["encode", str(run), *options, "--out", str(tmp_path / "codes.csv")]) == 2
    assert said in one_sentence(capsys.readouterr().err)


def test_the_options_are_those_of_the_folder_of_images() -> None:
    of_folder = get_type_hints(ImageFolder.__init__)
    for name, kind in get_type_hints(Reading).items():
        assert of_folder[name] in (kind, kind | None), name
    taken = set(inspect.signature(ImageFolder).parameters)
    assert taken - set(get_type_hints(Reading)) == {"path", "in_memory", "val_size", "common"}


def test_data_of_training_that_are_gone_are_named(tmp_path: Path) -> None:
    data = mixed(tmp_path / "scans", first_deep=True)
    model = model_of(shape=(1, 4, 4), value_range=(0.0, 1.0)).float().eval()
    trained = TrainedModel(model, tmp_path / "a.ckpt", data.record, {}, 0)
    shutil.rmtree(tmp_path / "scans")
    with pytest.raises(UsageError, match=r"was trained on .*scans, which is gone: name data\.$"):
        encode(trained)
