"""MNIST, Fashion-MNIST and CIFAR-10: read from disk, downloaded if missing, errors named."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import shutil
import socket
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from ae_lightning.datamodules import CIFAR10, MNIST, Dynamic, FashionMNIST, Threshold
from helpers.failures import failure

RNG = np.random.default_rng(0)
SIZES = {"train": 20, "t10k": 7}
IMAGES = {name: RNG.integers(0, 256, (n, 28, 28), dtype=np.uint8) for name, n in SIZES.items()}
LABELS = {name: (np.arange(n) % 10).astype(np.uint8) for name, n in SIZES.items()}


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.tobytes()


def contents() -> dict[str, bytes]:
    images = {f"{name}-images-idx3-ubyte": idx(x) for name, x in IMAGES.items()}
    return images | {f"{name}-labels-idx1-ubyte": idx(y) for name, y in LABELS.items()}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def write_raw(root: Path, name: str = "MNIST") -> Path:
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    for file, content in contents().items():
        (raw / file).write_bytes(content)
    return raw


@pytest.fixture
def closed() -> str:
    """An address on this machine where nothing answers."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{s.getsockname()[1]}/"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address it is served at."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def nothing_leaves_this_machine(monkeypatch, closed):
    for name in ("MNIST", "FashionMNIST"):
        monkeypatch.setattr(getattr(datasets, name), "mirrors", [closed])
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{closed}cifar-10-python.tar.gz")


def clean(data, split: str) -> torch.Tensor:
    data.setup()
    return data.pairs(split, range(len(data.sets[split]))).x


# ---------------------------------------------------------------------- MNIST and its like


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_files_that_lie_there_are_read_without_the_network(tmp_path, kind):
    write_raw(tmp_path, kind.__name__)
    data = kind(root=str(tmp_path))
    data.setup()
    assert {split: len(examples) for split, examples in data.sets.items()} == {
        "train": 18,
        "val": 2,
        "test": 7,
    }
    pair = data.pairs("test", range(7))
    assert torch.equal(pair.x[:, 0], torch.from_numpy(IMAGES["t10k"]) / 255)
    assert pair.y.tolist() == LABELS["t10k"].tolist()


def test_the_environment_names_the_root(tmp_path, monkeypatch):
    write_raw(tmp_path)
    monkeypatch.setenv("AE_DATA", str(tmp_path))
    assert len(clean(MNIST(), "test")) == 7
    monkeypatch.delenv("AE_DATA")
    assert MNIST().root == Path("data")


def test_what_is_not_there_is_downloaded_once(tmp_path, served, monkeypatch):
    folder, address = served
    zipped = {f"{name}.gz": gzip.compress(content) for name, content in contents().items()}
    for name, content in zipped.items():
        (folder / name).write_bytes(content)
    resources = [(name, md5(zipped[name])) for name, _ in datasets.MNIST.resources]
    monkeypatch.setattr(datasets.MNIST, "resources", resources)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [address])
    root = str(tmp_path / "data")
    expected = torch.from_numpy(IMAGES["t10k"])[:, None] / 255
    assert torch.equal(clean(MNIST(root=root), "test"), expected)
    for name in zipped:
        (folder / name).unlink()
    assert torch.equal(clean(MNIST(root=root), "test"), expected)


def test_a_download_that_is_damaged_on_the_way(tmp_path, served, monkeypatch):
    folder, address = served
    for name, _ in datasets.MNIST.resources:
        (folder / name).write_bytes(b"something else")
    monkeypatch.setattr(datasets.MNIST, "mirrors", [address])
    assert "MNIST could not be downloaded (File not found or corrupted.)" in failure(
        MNIST(root=str(tmp_path / "data"))
    )


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_no_network(tmp_path, kind):
    raw = tmp_path / kind.__name__ / "raw"
    files = (
        "train-images-idx3-ubyte, train-labels-idx1-ubyte, "
        "t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte"
    )
    message = failure(kind(root=str(tmp_path)))
    assert message.startswith(f"{kind.__name__} could not be downloaded (")
    assert "Connection refused" in message
    assert message.endswith(
        f"): put {files} in {raw}, or train on --config digits, which needs no download."
    )
    assert failure(kind(root=str(tmp_path), download=False)) == (
        f"{kind.__name__} is not in {raw}: put {files} in {raw}, or set download to true."
    )


def test_a_truncated_file(tmp_path):
    for name, content in contents().items():
        raw = write_raw(tmp_path / name)
        (raw / name).write_bytes(content[:-3])
        assert failure(MNIST(root=str(tmp_path / name))) == (
            f"{raw / name} is truncated: it has {len(content) - 3} bytes, and its header says "
            f"{len(content)}; delete it, and it is fetched again."
        )


def test_files_that_are_something_else(tmp_path):
    raw = write_raw(tmp_path)
    images, labels = raw / "train-images-idx3-ubyte", raw / "train-labels-idx1-ubyte"
    for content in (b"", b"<html>not found</html>", idx(np.zeros((5, 8, 8), np.uint8))):
        images.write_bytes(content)
        assert failure(MNIST(root=str(tmp_path))) == (
            f"{images} is not an IDX file of bytes of shape (N, 28, 28): replace it."
        )
    images.write_bytes(idx(IMAGES["train"]) + b"more")
    assert f"{images} is damaged: it has 15700 bytes, and its header says 15696" in failure(
        MNIST(root=str(tmp_path))
    )
    images.write_bytes(idx(IMAGES["train"][:-1]))
    assert failure(MNIST(root=str(tmp_path))) == f"{images} has 19 images, and {labels} 20 labels."


def test_dynamic_binarisation_is_redrawn_in_training_and_fixed_in_evaluation(tmp_path):
    write_raw(tmp_path)
    data, grey = MNIST(Dynamic(), root=str(tmp_path)), MNIST(root=str(tmp_path))
    one, other = clean(data, "test"), clean(data, "test")
    assert torch.equal(one, other)
    assert set(one.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(one[3:5], data.pairs("test", [3, 4]).x)
    # Each pixel is 1 with its grey value as probability: E = Σg, Var = Σg(1 − g).
    g = clean(grey, "test")
    assert abs(one.sum() - g.sum()) < 4.5 * (g * (1 - g)).sum().sqrt()
    assert not torch.equal(one, clean(MNIST(Dynamic(), root=str(tmp_path), split_seed=1), "test"))
    pair = next(iter(data.train_dataloader()))
    again = next(iter(MNIST(Dynamic(), root=str(tmp_path)).train_dataloader()))
    assert torch.equal(pair.x, again.x)
    assert not torch.equal(pair.x, data.pairs("train", pair.places.tolist()).x)
    assert pair.x_tilde is pair.x


def test_binarisation_at_a_threshold(tmp_path):
    write_raw(tmp_path)
    grey = clean(MNIST(root=str(tmp_path)), "test")
    assert torch.equal(
        clean(MNIST(Threshold(0.4), root=str(tmp_path)), "test"), (grey >= 0.4).float()
    )


def test_real_mnist(ae_data):
    data = MNIST(root=str(ae_data), download=False)
    data.setup()
    assert {s: len(e) for s, e in data.sets.items()} == {"train": 55000, "val": 5000, "test": 10000}
    pair = data.pairs("test", range(5))
    assert pair.y.tolist() == [7, 2, 1, 0, 4]
    assert clean(data, "train").mean() == pytest.approx(0.1307, abs=5e-4)  # the well-known mean


def test_real_fashion_mnist(ae_data):
    if not (ae_data / "FashionMNIST").is_dir():
        pytest.skip("AE_DATA holds no folder FashionMNIST")
    data = FashionMNIST(root=str(ae_data), download=False)
    assert clean(data, "train").mean() == pytest.approx(0.2860, abs=1e-3)
    assert data.pairs("test", range(5)).y.tolist() == [9, 2, 1, 1, 6]


# -------------------------------------------------------------------------------- CIFAR-10


@pytest.fixture
def small_cifar(served, monkeypatch) -> tuple[Path, np.ndarray]:
    """Serve an archive in CIFAR-10's format, expect its checksums, and return its test images."""
    folder, address = served
    inside = folder / "cifar-10-batches-py"
    inside.mkdir()
    images = RNG.integers(0, 256, (6, 3072), dtype=np.uint8)
    batch = {"data": images, "labels": [0, 1, 2, 3, 4, 5]}
    files = {f"data_batch_{i}": pickle.dumps(batch) for i in range(1, 6)}
    files |= {"test_batch": pickle.dumps(batch), "batches.meta": pickle.dumps({"label_names": []})}
    for name, content in files.items():
        (inside / name).write_bytes(content)
    archive = folder / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(inside, "cifar-10-batches-py")
    kind = datasets.CIFAR10
    for attribute in ("train_list", "test_list"):
        pairs = [[name, md5(files[name])] for name, _ in getattr(kind, attribute)]
        monkeypatch.setattr(kind, attribute, pairs)
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5(files["batches.meta"])})
    monkeypatch.setattr(kind, "tgz_md5", md5(archive.read_bytes()))
    monkeypatch.setattr(kind, "url", f"{address}{archive.name}")
    return archive, images


def test_cifar_is_downloaded_and_read(tmp_path, small_cifar):
    data = CIFAR10(str(tmp_path / "data"))
    x = clean(data, "test")
    assert x.shape == (6, 3, 32, 32)
    assert torch.equal(x, torch.from_numpy(small_cifar[1]).view(6, 3, 32, 32) / 255)
    assert {s: len(e) for s, e in data.sets.items()} == {"train": 27, "val": 3, "test": 6}
    small_cifar[0].unlink()
    assert len(clean(CIFAR10(str(tmp_path / "data")), "test")) == 6


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
def test_cifar_whose_checksum_fails(tmp_path, small_cifar, name):
    clean(CIFAR10(str(tmp_path)), "test")
    file = tmp_path / "cifar-10-batches-py" / name
    content = bytearray(file.read_bytes())
    content[5] ^= 1
    file.write_bytes(content)
    assert failure(CIFAR10(str(tmp_path))) == (
        f"{file} is damaged: its checksum is not CIFAR-10's; delete {file.parent}, and the set is "
        "fetched again."
    )
    shutil.rmtree(file.parent)
    assert len(clean(CIFAR10(str(tmp_path)), "test")) == 6


def test_cifar_without_a_network(tmp_path):
    message = failure(CIFAR10(str(tmp_path)))
    assert message.startswith("CIFAR10 could not be downloaded (")
    assert f"in {tmp_path / 'cifar-10-batches-py'}, or train on --config digits" in message
