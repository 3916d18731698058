"""Traverse and interpolate: strips and films between one's own files."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ae_lightning.cli.main import main
from ae_lightning.datamodules import Digits
from ae_lightning.inference import TrainedModel, interpolate, load, traverse
from ae_lightning.inference.walks import FRAMES, example
from helpers.attack import one_sentence


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_example_is_a_file_or_a_place_of_the_data(
    digits: TrainedModel, of_photographs: Path, photographs: Path
) -> None:
    torch.testing.assert_close(example(digits, "test/5"), Digits().pairs("test", [5]).x)
    found = example(load(of_photographs), str(photographs / "cats" / "01.png"))
    assert found.shape == (1, 3, 8, 8)


def test_an_interpolation_runs_from_one_reconstruction_to_the_other(digits: TrainedModel) -> None:
    film = interpolate(digits, "test/5", "test/6").frames
    ends = torch.cat([example(digits, f"test/{i}") for i in (5, 6)])
    r = torch.from_numpy(digits.reconstruct(ends)).clamp(0, 1)
    assert film is not None
    assert film.shape == (FRAMES, 1, 18, 36)  # linear beside spherical, drawn twice as large
    for frame, expected in zip(film[[0, -1]], r, strict=True):
        for left in (0, 18):
            shown = frame[:, 0:16:2, left : left + 16 : 2]
            torch.testing.assert_close(shown, expected, atol=1e-5, rtol=0)


def test_a_traversal_moves_what_was_named_from_the_example_named(digits: TrainedModel) -> None:
    walk = traverse(digits, "test/5", dims=[2, 7])
    assert walk.frames is not None
    z = torch.from_numpy(digits.code(example(digits, "test/5")))[0]
    order = [int(t.get_text().split()[0][1:]) for t in walk.figure.axes[0].texts[:2]]
    assert set(order) == {2, 7}
    for t, end in ((0, -3.0), (-1, 3.0)):
        for place, k in enumerate(order):
            moved = z.clone()
            moved[k] = end
            expected = torch.from_numpy(digits.decode(moved)).clamp(0, 1)
            shown = walk.frames[t, :, 0:16:2, 18 * place : 18 * place + 16 : 2]
            torch.testing.assert_close(shown, expected, atol=1e-5, rtol=0)


def test_strips_and_films_are_files(
    of_photographs: Path, photographs: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = (str(photographs / name) for name in ("cats/01.png", "dogs/00.jpg"))
    model, data = str(of_photographs), ["--data", str(photographs)]
    assert main(["interpolate", model, a, b, "--out", "film.gif"]) == 0
    assert main(["interpolate", model, a, b, "--out", "strip.png"]) == 0
    assert main(["traverse", model, a, "--rows", "3", *data, "--out", "both"]) == 0
    assert "both: traverse.png and traverse.gif" in capsys.readouterr().out
    assert sorted(os.listdir()) == ["both", "film.gif", "strip.png"]
    with Image.open("film.gif") as film, Image.open("both/traverse.gif") as other:
        assert min(film.n_frames, other.n_frames) > FRAMES  # there and back, like frames as one
        assert 400 < film.width < 600
        assert len({np.asarray(film.convert("L")).tobytes() for _ in map(film.seek, range(9))}) > 5
    for file in ("strip.png", "both/traverse.png"):
        with Image.open(file) as image:
            assert image.width > 300
            assert np.asarray(image.convert("L")).std() > 10


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["interpolate", "RUN", "test/0", "test/1", "--out", "a.jpg"], "out is a.jpg: did you"),
        (["interpolate", "RUN", "test/0", "test/999999", "--out", "a.png"], "test has the places"),
        (["interpolate", "RUN", "digits", "test/0", "--out", "a.png"], "digits holds 1,797"),
        (["interpolate", "RUN", "a", "b", "--steps", "1", "--out", "a.png"], "steps is 1"),
        (["interpolate", "RUN", "no.png", "test/0", "--out", "a.png"], "no file or folder no.png"),
        (["traverse", "RUN", "--dims", "[99]", "--out", "a.gif"], "there is no dimension 99"),
        (
            ["traverse", "RUN", "--dims", "[]", "--out", "a.gif"],
            "dims are none: expected some of 0",
        ),
        (["traverse", "RUN", "--data.bits", "8", "--out", "a.png"], "Digits has none"),
        (
            ["interpolate", "RUN", "test/0", "test/1", "--data.bits", "8", "--out", "a.png"],
            "data.bits says how image files are read: Digits has none",
        ),
        (["traverse", "RUN", "--columns", "0", "--out", "a.gif"], "columns is 0"),
        (["traverse", "RUN", "--rows", "0", "--out", "a.gif"], "rows is 0"),
    ],
)
def test_what_cannot_be_walked_is_one_sentence(
    args: list[str], said: str, run: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run) if arg == "RUN" else arg for arg in args]) == 2
    assert said in one_sentence(capsys.readouterr().err)
    assert os.listdir() == []
