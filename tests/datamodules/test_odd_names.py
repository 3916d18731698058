"""Files of any name: read, told apart, and named in one line."""

from __future__ import annotations

import os

import pytest
from PIL import Image

from ae_lightning.core.errors import UsageError
from ae_lightning.datamodules import ImageFolder
from helpers.failures import failure
from helpers.images import write_images

ODD = os.fsdecode(b"\xff.png")  # which is not UTF-8


def test_a_bad_file_of_any_name_is_one_line(tmp_path):
    folder = write_images(tmp_path, {"": 5})
    for name, told in (("a\nb.png", r"a\nb.png"), (ODD, r"\udcff.png"), ("a\x1b[1m.png", r"[1m")):
        (tmp_path / name).write_bytes(b"no")
        said = failure(ImageFolder(folder))
        assert told in said
        assert said.isprintable()
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        assert failure(ImageFolder(folder)).isprintable()
        (tmp_path / name).unlink()
    write_images(tmp_path / "a\nb", {"": 1}, side=9)
    assert r"a\nb/0000.png is 9 × 9 pixels" in failure(ImageFolder(folder))


def test_names_are_text_that_any_table_holds(tmp_path):
    folder = write_images(tmp_path, {"": 5})
    (tmp_path / "0000.png").rename(tmp_path / ODD)
    data = ImageFolder(folder)
    data.setup()
    assert sum(map(len, data.sets.values())) == 5
    (group,) = data.named()
    names = {group.name(i) for i in range(5)}
    assert r"\udcff.png" in names
    assert all(name.encode() for name in names)
    (alone,) = ImageFolder(str(tmp_path / ODD)).named()
    assert alone.name(0) == r"\udcff.png"


@pytest.mark.parametrize("way", ["Unicode", "frames"])
def test_two_images_of_one_name_are_refused_where_names_matter(tmp_path, way):
    folder = write_images(tmp_path, {"a": 12})
    if way == "Unicode":
        twice = ("caf\u00e9.png", "cafe\u0301.png")
        for source, name in zip(sorted((tmp_path / "a").iterdir()), twice, strict=False):
            source.rename(tmp_path / "a" / name)
        data = ImageFolder(folder)
    else:
        frames = [Image.new("RGB", (8, 8), (99 * i, 0, 0)) for i in range(2)]
        frames[0].save(tmp_path / "a" / "b.gif", save_all=True, append_images=frames[1:])
        frames[0].save(tmp_path / "a" / "b.1.gif")
        data = ImageFolder(folder, frames="all")
    data.setup()  # both are trained on
    assert sum(map(len, data.sets.values())) == (12 if way == "Unicode" else 15)
    told = "a/caf\u00e9.png" if way == "Unicode" else "a/b.1.gif"
    with pytest.raises(UsageError, match=f"^two images in .* are called {told}: rename a file"):
        data.named()


def test_a_file_is_no_folder_to_train_on(tmp_path):
    write_images(tmp_path, {"": 1})
    assert failure(ImageFolder(str(tmp_path / "0000.png"))) == (
        f"{tmp_path / '0000.png'} is a file: give data.path, a folder of images."
    )
