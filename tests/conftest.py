"""What all tests share: real data, where AE_DATA names a folder that holds it, and one thread."""

import os
from pathlib import Path

import pytest
import torch

from ae_lightning.datamodules import CIFAR10, MNIST, FashionMNIST, InMemory


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


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
