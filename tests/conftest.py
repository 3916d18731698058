"""What all tests share: real data, if AE_DATA names a folder of it, one seed, and a clean tree."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import ae_lightning
from ae_lightning.datamodules import CIFAR10, MNIST, FashionMNIST, InMemory
from helpers import draws

ROOT = Path(ae_lightning.__file__).parents[1]

# What a shell starts in the background ignores Ctrl-C, and hands that on to what tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def ae_data() -> Path:
    """The folder of real MNIST, CIFAR-10 and Fashion-MNIST images."""
    if "AE_DATA" not in os.environ:
        pytest.skip("AE_DATA names no folder of real images")
    return Path(os.environ["AE_DATA"])


@pytest.fixture
def small_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random images in place of those that would be downloaded."""
    for kind in (MNIST, FashionMNIST, CIFAR10):

        def read(data: MNIST | FashionMNIST | CIFAR10) -> dict[str, InMemory]:
            x = torch.randint(0, 256, (16, *data.shape), dtype=torch.uint8)
            return {name: InMemory(x, torch.arange(16)) for name in ("train", "val", "test")}

        monkeypatch.setattr(kind, "prepare_data", lambda self: None)
        monkeypatch.setattr(kind, "read", read)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("there is no GPU")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
    draws.begin_anew()


def tree() -> set[Path]:
    """All files and folders of the working tree, except caches and what is hidden."""
    found = set()
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [f for f in folders if not f.startswith(".") and f != "__pycache__"]
        found |= {Path(folder, name) for name in (*folders, *files)}
    return found


@pytest.fixture(scope="session", autouse=True)
def leave_nothing() -> Iterator[None]:
    """Fail the session if a test has left a file or a folder in the working tree."""
    before = tree()
    yield
    left = sorted(str(path.relative_to(ROOT)) for path in tree() - before)
    assert not left, f"tests left behind, in the working tree: {', '.join(left)}"
