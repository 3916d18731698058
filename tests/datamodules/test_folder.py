"""A folder of images: what it accepts, and what is wrong with it in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ae_lightning.core.errors import UsageError
from ae_lightning.datamodules import ImageFolder
from ae_lightning.datamodules.loading import image_files
from ae_lightning.datamodules.loading.rendering import Rendering
from helpers.failures import failure
from helpers.images import write_images
from helpers.interpreter import python
from helpers.pairs import everything


def stored(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) / 255


@pytest.fixture(params=[True, False], ids=["in memory", "by workers"])
def in_memory(request):
    return request.param


def test_a_folder_gives_its_pixels_exactly(tmp_path, in_memory):
    data = ImageFolder(write_images(tmp_path, {"": 10}), in_memory=in_memory)
    assert data.shape == (3, 8, 8)
    data.setup()
    assert {split: len(examples) for split, examples in data.sets.items()} == {
        "train": 8,
        "val": 1,
        "test": 1,
    }
    seen = torch.cat([everything(data, split).x for split in data.sets])
    expected = torch.stack([stored(path) for path in sorted(tmp_path.iterdir())])
    assert sorted(x.sum().item() for x in seen) == sorted(x.sum().item() for x in expected)
    assert all((x == seen).flatten(1).all(1).sum() == 1 for x in expected)


def test_memory_and_workers_give_the_same_pairs(tmp_path):
    folder = write_images(tmp_path, {"a": 9, "b": 8})
    here, there = (ImageFolder(folder, in_memory=m, batch_size=3) for m in (True, False))
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        pairs = list(zip(getattr(here, loader)(), getattr(there, loader)(), strict=True))
        assert pairs
        for one, other in pairs:
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_many_images_are_read_into_memory_by_workers(tmp_path, monkeypatch):
    folder = write_images(tmp_path, {"a": 40, "b": 30})
    alone = ImageFolder(folder)
    alone.setup()
    monkeypatch.setattr(image_files, "SLOW", 50)
    data = ImageFolder(folder)
    data.setup()
    for split in data.sets:
        one, other = everything(alone, split), everything(data, split)
        assert torch.equal(one.x, other.x)
        assert torch.equal(one.y, other.y)


def test_folders_directly_in_it_are_classes(tmp_path, in_memory):
    folder = write_images(tmp_path, {"cat/young": 4, "dog": 5, "cat/old": 3})
    data = ImageFolder(folder, in_memory=in_memory)
    data.setup()
    labels = torch.cat([everything(data, split).y for split in data.sets])
    assert labels.bincount().tolist() == [7, 5]
    path = tmp_path / "dog" / "0000.png"
    found = [s for s in data.sets for x in everything(data, s).x if torch.equal(x, stored(path))]
    pair = everything(data, found[0])
    assert pair.y[(pair.x == stored(path)).flatten(1).all(1)].tolist() == [1]


@pytest.mark.parametrize("val", [0, 4])
def test_ready_splits_are_kept(tmp_path, in_memory, val):
    counts = {"train/a": 10, "train/b": 10, "test/b": 6} | ({"val/a": val} if val else {})
    data = ImageFolder(write_images(tmp_path, counts), in_memory=in_memory)
    data.setup()
    sizes = {"train": 20 if val else 18, "val": val or 2, "test": 6}
    assert {split: len(examples) for split, examples in data.sets.items()} == sizes
    test = everything(data, "test")
    assert test.y.tolist() == [1] * 6  # the class b, although the test set has no a
    paths = sorted((tmp_path / "test" / "b").iterdir())
    assert torch.equal(test.x, torch.stack([stored(path) for path in paths]))


def test_hidden_files_are_left_out(tmp_path):
    folder = write_images(tmp_path, {"": 5, ".cache": 3})
    (tmp_path / ".DS_Store").write_bytes(b"nothing")
    data = ImageFolder(folder)
    data.setup()
    assert sum(map(len, data.sets.values())) == 5


def test_greyscale_has_one_channel(tmp_path, in_memory):
    folder = write_images(tmp_path, {"": 5})
    data = ImageFolder(folder, greyscale=True, in_memory=in_memory)
    assert data.shape == (1, 8, 8)
    luma = stored(sorted(tmp_path.iterdir())[0]).mul(
        torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    )
    data.setup()
    seen = torch.cat([everything(data, split).x for split in data.sets])
    assert (seen - luma.sum(0)).abs().flatten(1).amax(1).min() < 1.01 / 255


def test_resize_scales_and_crops_at_the_centre(tmp_path, in_memory):
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, 20:60, 0] = 255  # a red square at the centre
    for i in range(4):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        Image.fromarray(pixels.transpose(1, 0, 2).copy()).save(tmp_path / f"turned{i}.jpg")
    data = ImageFolder(str(tmp_path), resize=16, in_memory=in_memory)
    data.setup()
    x = everything(data, "train").x
    assert x.shape[1:] == (3, 16, 16)
    assert x[:, 0, 2:-2, 2:-2].min() > 0.95
    assert x[:, 1:].max() < 0.05


def test_a_photograph_stands_upright(tmp_path):
    pixels = np.zeros((8, 16, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° to see it upright
    for i in range(3):
        Image.fromarray(pixels).save(tmp_path / f"{i}.jpg", exif=exif)
    assert ImageFolder(str(tmp_path)).shape == (3, 16, 8)


def test_a_missing_folder(tmp_path):
    assert failure(ImageFolder(str(tmp_path / "none"))) == (
        f"there is no folder {tmp_path / 'none'}: give data.path, a folder of images."
    )


def test_an_empty_folder(tmp_path):
    assert failure(ImageFolder(str(tmp_path))) == f"{tmp_path} holds no images."


def test_too_few_images_to_split(tmp_path):
    folder = write_images(tmp_path, {"": 2})
    assert failure(ImageFolder(folder)) == (
        f"{folder} holds 2 examples, too few to divide: at least 3 are needed, since test and val "
        "take one each."
    )


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda b: b"not an image", "of no known format"),
        (lambda b: b[: len(b) * 3 // 4], "runcated"),
        (lambda b: b"", "an empty file"),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_file_that_is_no_image(tmp_path, in_memory, spoil, reason, suffix):
    folder = write_images(tmp_path, {"a": 6}, side=32)
    bad = tmp_path / "a" / f"bad.{suffix}"
    Image.open(tmp_path / "a" / "0000.png").save(bad)
    bad.write_bytes(spoil(bad.read_bytes()))
    said = failure(ImageFolder(folder, in_memory=in_memory))
    assert said.startswith(f"{bad} cannot be read as an image (")
    assert reason in said
    assert said.endswith("): replace or remove it, or set data.unreadable to skip.")


def test_a_bad_file_met_by_a_worker_that_fills_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "SLOW", 5)
    folder = write_images(tmp_path, {"": 10})
    (tmp_path / "notes.png").write_text("UsageError: no image")
    assert failure(ImageFolder(folder)) == (
        f"{tmp_path / 'notes.png'} cannot be read as an image (of no known format): replace or "
        "remove it, or set data.unreadable to skip."
    )


def test_mixed_sizes(tmp_path, in_memory):
    write_images(tmp_path / "a", {"": 5}, side=8)
    folder = write_images(tmp_path, {"b": 1}, side=9)
    assert failure(ImageFolder(folder, in_memory=in_memory)) == (
        f"{tmp_path / 'b' / '0000.png'} is 9 × 9 pixels, and the first image 8 × 8: "
        "give resize, the side in pixels to bring them all to."
    )
    ImageFolder(folder, in_memory=in_memory, resize=8).setup()


def test_more_images_than_memory_holds(tmp_path, monkeypatch):
    folder = write_images(tmp_path, {"": 5})
    monkeypatch.setattr(image_files, "memory", lambda: 900.0)
    said = failure(ImageFolder(folder))
    assert said.startswith("5 images of shape (3, 8, 8) need ")
    assert said.endswith("GiB that this machine has: set in_memory to false.")
    monkeypatch.setattr(image_files, "memory", lambda: 1000.0)
    ImageFolder(folder).setup()


@pytest.mark.parametrize("resize", [100_000, (2, 10**9)])
def test_a_size_beyond_memory_is_refused_before_anything_is_read(
    tmp_path, monkeypatch, in_memory, resize
):
    folder = write_images(tmp_path, {"": 5})
    monkeypatch.setattr(image_files, "memory", lambda: 8.0 * 2**30)
    monkeypatch.setattr(Rendering, "read", lambda *_: 1 / 0)
    assert "need" in failure(ImageFolder(folder, resize=resize, in_memory=in_memory))


def test_reading_takes_no_more_memory_than_the_pixels(tmp_path):
    folder = write_images(tmp_path, {"": 60}, side=512)
    code = f"""
import resource, torch
from ae_lightning.datamodules import ImageFolder
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
data = ImageFolder({folder!r})
data.shape
before = peak()
data.setup()
print((peak() - before) / sum(s.x.nbytes for s in data.sets.values()))
"""
    assert float(python("-c", code)) < 1.3


def test_bad_arguments(tmp_path):
    for options, sentence in (
        ({"resize": 0}, "resize is 0: expected at least 1."),
        ({"resize": (8, 0)}, "resize is 0: expected at least 1."),
        ({"resize": (8, 8, 8)}, "[8, 8, 8] has 3 numbers: expected two."),
        ({"fit": "crp"}, "fit is 'crp': did you mean crop?"),
        ({"frames": "last"}, "frames is 'last': expected one of all, first, refuse."),
        ({"unreadable": "skipp"}, "unreadable is 'skipp': did you mean skip?"),
        ({"background": 255}, "background is 255: expected values in [0, 1]."),
        ({"background": (1.0, 1.0)}, "background has 2 values: expected one, or three."),
        ({"range": (1.0, 1.0)}, "range is [1.0, 1.0]: expected a lower and a higher number."),
        ({"bits": 16}, "bits is 16: expected one of 32, 8, None."),
        ({"max_pixels": 0}, "max_pixels is 0: expected at least 1."),
        ({"val_size": 1.5}, "val_size is 1.5: expected a whole number, or a share below 1."),
    ):
        with pytest.raises(UsageError, match=f"^{re.escape(sentence)}$"):
            ImageFolder(str(tmp_path), **options)


def test_a_real_folder_of_photographs(ae_data, monkeypatch):
    if not (ae_data / "cifar10-jpeg").is_dir():
        pytest.skip("AE_DATA holds no folder cifar10-jpeg")
    data = ImageFolder(str(ae_data / "cifar10-jpeg"), in_memory=False, num_workers=0)
    data.setup()
    sizes = {split: len(examples) for split, examples in data.sets.items()}
    assert sizes["test"] == 10_000
    assert sizes["val"] == pytest.approx(5000, abs=200)  # three standard deviations
    assert sizes["train"] + sizes["val"] == 50_000
    pair = data.pairs("test", range(0, 10000, 100))
    assert pair.x.shape == (100, 3, 32, 32)
    assert pair.y.unique().tolist() == list(range(10))
    assert 0.4 < pair.x.mean() < 0.55
