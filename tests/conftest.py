"""What all tests share: real data, where AE_DATA names a folder that holds it, and one thread."""

import os
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def ae_data() -> Path:
    """The folder of real MNIST, CIFAR-10 and Fashion-MNIST images."""
    if "AE_DATA" not in os.environ:
        pytest.skip("AE_DATA names no folder of real images")
    return Path(os.environ["AE_DATA"])


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
