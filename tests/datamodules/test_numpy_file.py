"""Arrays from a file; what is wrong with them is said in one sentence."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from ae_lightning.datamodules import NumpyFile
from ae_lightning.datamodules.loading.order import Order
from helpers.failures import failure
from helpers.pairs import everything

RNG = np.random.default_rng(0)


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
        (RNG.integers(0, 256, (20, 6, 5, 4), dtype=np.uint8), (4, 6, 5), (0.0, 1.0)),
        (RNG.normal(size=(20, 8, 4, 4)), (8, 4, 4), None),
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


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_what_a_file_holds_is_held_once(tmp_path, suffix, monkeypatch):
    loaded, load = [], np.load

    def noting(*args, **options):
        found = load(*args, **options)
        arrays = [found] if isinstance(found, np.ndarray) else (found := dict(found)).values()
        loaded.extend(map(weakref.ref, arrays))
        return found

    monkeypatch.setattr(np, "load", noting)
    data = NumpyFile(save(tmp_path / f"a{suffix}", x=RNG.normal(size=(30, 4))))
    data.setup()
    (named,) = data.named()
    whole = named.examples
    assert whole.y.untyped_storage().nbytes() == 8  # as there are no labels
    assert [part.whole is whole for part in data.sets.values()] == [True] * 3  # not copied
    assert sum(part.rows.untyped_storage().nbytes() for part in data.sets.values()) == 4 * 30
    elsewhere = data.sets["train"].near(torch.device("meta"))  # of which they are a copy
    assert (elsewhere.x.device.type, len(elsewhere)) == ("meta", len(data.sets["train"]))
    gc.collect()
    assert loaded
    assert [array() for array in loaded] == [None] * len(loaded)  # doubles became floats


def test_an_order_of_all_rows_is_held_alone(monkeypatch):
    order = Order(1000, 0, 0)
    monkeypatch.setattr(torch, "arange", lambda *_, **__: pytest.fail("rows beside their order"))
    assert sorted(order[:].tolist()) == [*range(1000)]


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
        ({"x": np.zeros((2, 2)), "y": np.array(["a", "b"])}, "y holds str: expected numbers."),
        (
            {"x": np.zeros((2, 2)), "y": np.array([1, 0.5])},
            "y holds 0.5: expected whole numbers of 64 bits.",
        ),
        (
            {"x": np.zeros((2, 2)), "y": np.array([1, 2**64 - 1], np.uint64)},
            "y holds 1.84467e+19: expected whole numbers of 64 bits.",
        ),
        (
            {"x": np.zeros((2, 2)), "y": np.array([1, 1e30])},
            "y holds 1e+30: expected whole numbers of 64 bits.",
        ),
        (
            {"x": np.zeros((2, 2)), "y": np.array([1, 2j])},
            "y of shape (2,): expected finite labels (N,).",
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
    beside = save(tmp_path / "beside.npz", x=np.zeros((5, 2)), x_test=np.zeros((5, 2)))
    assert "holds x, x_test: expected" in failure(NumpyFile(beside))  # which would be left out
    mixed = save(tmp_path / "mixed.npz", x_train=np.zeros((5, 2), "u1"), x_test=np.zeros((5, 2)))
    assert failure(NumpyFile(mixed)) == f"{mixed} holds bytes in one split, and floats in another."
    uneven = save(tmp_path / "uneven.npz", x_train=np.zeros((5, 2)), x_test=np.zeros((5, 3)))
    assert failure(NumpyFile(uneven)) == (
        f"{uneven} holds splits of different shapes: {{'train': (2,), 'test': (3,)}}."
    )


@pytest.mark.parametrize("kind", [">f4", ">f8", "<f8", "f2", "g"])
def test_floats_of_any_size_and_order_of_bytes(tmp_path, kind):
    x = RNG.uniform(0, 1, (20, 6)).astype(kind)
    file = save(tmp_path / "a.npz", x=x, y=np.arange(20).astype(">i4"))
    data = NumpyFile(file)
    data.setup()
    for split, examples in data.sets.items():
        pair = everything(data, split)
        assert len(pair.y) == len(examples)
        assert np.allclose(pair.x, x[pair.y].astype(np.float64), atol=1e-7)


def test_a_tensor_that_was_saved_with_its_gradient(tmp_path):
    x = torch.rand(20, 6, requires_grad=True)
    torch.save(x, tmp_path / "a.pt")
    data = NumpyFile(str(tmp_path / "a.pt"))
    assert data.fingerprint["counts"] == {"train": 20}
    assert not data.pairs("train", [0]).x.requires_grad


def test_text_beside_the_examples_does_not_matter(tmp_path):
    names = np.array(["a"] * 20)
    data = NumpyFile(save(tmp_path / "a.npz", x=RNG.normal(size=(20, 6)), names=names))
    assert data.shape == (6,)


def test_colours_that_share_their_grey_are_read(tmp_path):
    grey = torch.rand(20, 1, 4, 4)
    torch.save(grey.expand(-1, 3, -1, -1), tmp_path / "a.pt")
    assert NumpyFile(str(tmp_path / "a.pt")).pairs("train", [0]).x.shape == (1, 3, 4, 4)


def test_the_imaginary_part_of_conjugates_is_read(tmp_path):
    z = torch.rand(20, 4, dtype=torch.complex64)
    torch.save(z.conj().imag, tmp_path / "a.pt")
    data = NumpyFile(str(tmp_path / "a.pt"))
    assert data.fingerprint["counts"] == {"train": 20}
    assert data.pairs("train", range(16)).x.max() <= 0


def test_labels_of_examples_that_are_not_there_are_refused(tmp_path):
    x, y = np.zeros((9, 2)), np.arange(9)
    file = save(tmp_path / "a.npz", x=x, y_train=y)
    assert failure(NumpyFile(file)).startswith(f"{file} holds y_train, but no x_train: expected x")
    years = NumpyFile(save(tmp_path / "b.npz", x=x, years=y))
    years.setup()
    assert years.label_of(0) is None  # as for x alone
