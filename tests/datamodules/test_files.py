"""Images and arrays from files; what is wrong with them is said in one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ae_lightning.core.errors import UsageError
from ae_lightning.datamodules import ImageFolder, NumpyFile
from ae_lightning.datamodules.loading import image_files
from helpers.images import write_images
from helpers.pairs import everything

RNG = np.random.default_rng(0)


def stored(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) / 255


@pytest.fixture(params=[True, False], ids=["in memory", "by workers"])
def in_memory(request):
    return request.param


# ------------------------------------------------------------------------------ folders


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


def run_through(data) -> None:
    data.setup()
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        list(loader)  # workers see a bad image only when they come to it


def failure(data) -> str:
    with pytest.raises(UsageError) as caught:
        run_through(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_folder(tmp_path):
    assert failure(ImageFolder(str(tmp_path / "none"))) == (
        f"there is no folder {tmp_path / 'none'}: give data.path, a folder of images."
    )


def test_an_empty_folder(tmp_path):
    assert failure(ImageFolder(str(tmp_path))) == f"{tmp_path} holds no images."


def test_too_few_images_to_split(tmp_path):
    folder = write_images(tmp_path, {"": 2})
    assert (
        failure(ImageFolder(folder))
        == "val_size is 1: expected fewer than the 1 training examples."
    )


@pytest.mark.parametrize(
    "spoil", [lambda b: b"not an image", lambda b: b[: len(b) // 2], lambda b: b""]
)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_file_that_is_no_image(tmp_path, in_memory, spoil, suffix):
    folder = write_images(tmp_path, {"a": 6}, side=32)
    bad = tmp_path / "a" / f"bad.{suffix}"
    Image.open(tmp_path / "a" / "0000.png").save(bad)
    bad.write_bytes(spoil(bad.read_bytes()))
    assert failure(ImageFolder(folder, in_memory=in_memory)) == (
        f"{bad} cannot be read as an image: remove or replace it."
    )


def test_a_bad_file_met_by_a_worker_that_fills_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "SLOW", 5)
    folder = write_images(tmp_path, {"": 10})
    (tmp_path / "notes.txt").write_text("no image")
    assert failure(ImageFolder(folder)) == (
        f"{tmp_path / 'notes.txt'} cannot be read as an image: remove or replace it."
    )


def test_mixed_sizes(tmp_path, in_memory):
    write_images(tmp_path / "a", {"": 5}, side=8)
    folder = write_images(tmp_path, {"b": 1}, side=9)
    assert failure(ImageFolder(folder, in_memory=in_memory)) == (
        f"{tmp_path / 'b' / '0000.png'} is 9 × 9 pixels, and the first image 8 × 8: "
        "give resize, the side in pixels to bring them all to."
    )
    ImageFolder(folder, in_memory=in_memory, resize=8).setup()


def test_pixels_of_more_than_8_bits(tmp_path):
    Image.fromarray(np.full((8, 8), 40_000, np.uint16)).save(tmp_path / "deep.png")
    assert failure(ImageFolder(str(tmp_path))) == (
        f"{tmp_path / 'deep.png'} has more than 8 bits per pixel: convert it to 8 bits."
    )


def test_more_images_than_memory_holds(tmp_path, monkeypatch):
    folder = write_images(tmp_path, {"": 5})
    monkeypatch.setattr(image_files, "memory", lambda: 100.0)
    assert failure(ImageFolder(folder)).endswith(
        "more than this machine has: set in_memory to false."
    )


def test_bad_arguments(tmp_path):
    with pytest.raises(UsageError, match=r"^resize is 0: expected at least 1\.$"):
        ImageFolder(str(tmp_path), resize=0)


def test_a_real_folder_of_photographs(ae_data, monkeypatch):
    if not (ae_data / "cifar10-jpeg").is_dir():
        pytest.skip("AE_DATA holds no folder cifar10-jpeg")
    data = ImageFolder(str(ae_data / "cifar10-jpeg"), in_memory=False, num_workers=0)
    data.setup()
    assert {s: len(e) for s, e in data.sets.items()} == {"train": 45000, "val": 5000, "test": 10000}
    pair = data.pairs("test", range(0, 10000, 100))
    assert pair.x.shape == (100, 3, 32, 32)
    assert pair.y.unique().tolist() == list(range(10))
    assert 0.4 < pair.x.mean() < 0.55


# ------------------------------------------------------------------------------- arrays


def save(path: Path, **arrays: object) -> str:
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".npy":
        np.save(path, arrays["x"])
    else:
        tensors = {name: torch.as_tensor(a) for name, a in arrays.items()}
        torch.save(tensors["x"] if set(tensors) == {"x"} else tensors, path)
    return str(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
@pytest.mark.parametrize(
    ("x", "shape", "value_range"),
    [
        (RNG.integers(0, 256, (20, 5, 4), dtype=np.uint8), (1, 5, 4), (0.0, 1.0)),
        (RNG.integers(0, 256, (20, 5, 4, 3), dtype=np.uint8), (3, 5, 4), (0.0, 1.0)),
        (RNG.integers(0, 256, (20, 3, 5, 4), dtype=np.uint8), (3, 5, 4), (0.0, 1.0)),
        (RNG.normal(size=(20, 7)), (7,), None),
        (RNG.normal(size=(20, 7)).astype(np.float32), (7,), None),
    ],
)
def test_arrays_of_ones_own(tmp_path, suffix, x, shape, value_range):
    data = NumpyFile(save(tmp_path / f"a{suffix}", x=x))
    assert data.shape == shape
    assert data.value_range == value_range
    data.setup()
    assert {s: len(e) for s, e in data.sets.items()} == {"train": 16, "val": 2, "test": 2}
    total = sum(everything(data, s).x.double().sum() for s in data.sets)
    scale = 255 if x.dtype == np.uint8 else 1
    assert total == pytest.approx(x.astype(np.float64).sum() / scale, rel=1e-5)


@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_arrays_that_are_split_and_labelled(tmp_path, suffix):
    x, y = np.arange(24.0).reshape(12, 2), np.arange(12)
    file = save(tmp_path / f"a{suffix}", x_train=x, y_train=y, x_test=x[:5], y_test=y[:5])
    data = NumpyFile(file)
    data.setup()
    assert {s: len(e) for s, e in data.sets.items()} == {"train": 10, "val": 2, "test": 5}
    for split in data.sets:
        pair = everything(data, split)
        assert torch.equal(pair.x[:, 0].long(), 2 * pair.y)
    assert everything(data, "test").y.tolist() == list(range(5))


def test_floats_may_be_said_to_lie_in_the_unit_interval(tmp_path):
    file = save(tmp_path / "a.npy", x=RNG.uniform(size=(10, 4)))
    assert NumpyFile(file, unit_interval=True).value_range == (0.0, 1.0)


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"x": np.zeros((5, 2), np.int64)}, "x holds int64: expected uint8 images, or floats."),
        ({"x": np.zeros((5, 2), complex)}, "x holds complex128: expected uint8 images, or floats."),
        (
            {"x": np.zeros(5)},
            "x has the shape (5,): expected (N, D), (N, H, W) or (N, C, H, W), each at least 1.",
        ),
        (
            {"x": np.zeros((0, 5))},
            "x has the shape (0, 5): expected (N, D), (N, H, W) or (N, C, H, W), each at least 1.",
        ),
        ({"x": np.full((5, 2), np.nan)}, "x holds values that are not finite."),
        ({"x": np.array([[0, 1.5]])}, "x holds values from 0 to 1.5, not in [0, 1]."),
        (
            {"x": np.zeros((5, 2)), "y": np.zeros(4)},
            "x has 5 examples, and y 4 labels.",
        ),
    ],
)
def test_arrays_that_are_refused(tmp_path, arrays, sentence):
    file = save(tmp_path / "a.npz", **arrays)
    assert failure(NumpyFile(file, unit_interval=True)) == f"{file}: {sentence}"


def test_array_files_that_are_refused(tmp_path):
    missing, bad = tmp_path / "none.npy", tmp_path / "bad.npy"
    give = "give data.path, a .npy, .npz or .pt file."
    assert failure(NumpyFile(str(missing))) == f"there is no file {missing}: {give}"
    what = "expected plain arrays in a .npy, .npz or .pt file."
    for content in (b"nothing", b""):
        bad.write_bytes(content)
        assert failure(NumpyFile(str(bad))) == f"{bad} cannot be read: {what}"
    objects = save(tmp_path / "objects.npy", x=np.array([{}, {}]))
    assert failure(NumpyFile(objects)) == f"{objects} cannot be read: {what}"
    other = save(tmp_path / "other.npz", images=np.zeros((5, 2)), labels=np.zeros(5))
    assert failure(NumpyFile(other)) == (
        f"{other} holds images, labels: expected x (and y), or x_train, x_test and perhaps x_val "
        "(and y_train, …)."
    )
    uneven = save(tmp_path / "uneven.npz", x_train=np.zeros((5, 2)), x_test=np.zeros((5, 3)))
    assert failure(NumpyFile(uneven)) == (
        f"{uneven} holds splits of different shapes: {{'train': (2,), 'test': (3,)}}."
    )
