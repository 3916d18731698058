"""The pictures on README and docs are those that the commands below them make."""

import re

import numpy as np
import pytest
from PIL import Image

from ae_lightning.callbacks.report.choosing import known_pictures
from gallery import __main__ as gallery
from gallery.shown import COMMAND, FOLDER, HEAVIEST, ROOT, Shown, shown

SHOWN = shown()


def test_every_picture_of_the_gallery_is_shown_once() -> None:
    names = [one.name for one in SHOWN]
    assert sorted(names) == sorted(file.stem for file in (ROOT / FOLDER).iterdir())
    assert len(set(names)) == len(names) >= 6
    assert set(names) <= known_pictures().keys()


@pytest.mark.parametrize("one", SHOWN, ids=lambda one: one.name)
def test_a_picture_was_made_by_the_command_that_stands_below_it(one: Shown) -> None:
    with Image.open(one.file) as image:
        assert image.text[COMMAND] == one.command, "make gallery remakes it"
        assert image.width <= 1000
    assert one.file.stat().st_size <= HEAVIEST


def test_a_picture_without_a_command_below_it_is_noticed() -> None:
    first, second = (f"![]({FOLDER}/{name}.png)" for name in ("codes", "filters"))
    command = "\n    ae-lightning fit --config vae  # quick\n"
    assert shown([first + command + second + command]) == [
        Shown("codes", "fit --config vae"),
        Shown("filters", "fit --config vae"),
    ]
    with pytest.raises(LookupError, match=r"no command stands below .*codes"):
        shown([first + second + command])


def test_a_picture_is_remade_by_its_command(tmp_path, monkeypatch, capsys) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)

    def train(words: list[str]) -> int:
        assert words[:-1] == ["fit", "--config", "vae", "--run"]
        for step, image in ((9, 255 - pixels), (10, pixels)):
            file = tmp_path / words[-1] / "pictures" / "codes" / f"{step}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file)
        return 0

    monkeypatch.setattr(gallery, "main", train)
    monkeypatch.setattr(Shown, "file", tmp_path / "codes.png")
    gallery.remake(Shown("codes", "fit --config vae"), tmp_path / "run")
    with Image.open(tmp_path / "codes.png") as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), pixels)
        assert image.text == {COMMAND: "fit --config vae"}
    assert re.search("^codes.png: fit --config vae$", capsys.readouterr().out, re.MULTILINE)
    monkeypatch.setattr(gallery, "main", lambda words: 2)
    with pytest.raises(SystemExit):
        gallery.remake(Shown("codes", "fit --config vae"), tmp_path / "run")
