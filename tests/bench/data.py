"""Images of MNIST's shape: the real ones where AE_DATA has them, random ones else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch


def _write_idx(path: Path, shape: tuple[int, ...], high: int) -> None:
    lengths = b"".join(n.to_bytes(4, "big") for n in shape)
    values = torch.randint(high, shape, dtype=torch.uint8)
    path.write_bytes(bytes([0, 0, 8, len(shape)]) + lengths + values.numpy().tobytes())


@contextmanager
def mnist_root() -> Iterator[Path]:
    """A folder in which MNIST lies as torchvision stores it."""
    real = Path(os.environ.get("AE_DATA", "data"))
    if (real / "MNIST" / "raw" / "train-images-idx3-ubyte").is_file():
        yield real.resolve()
        return
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "MNIST", "raw")
        raw.mkdir(parents=True)
        for name, n in {"train": 60_000, "t10k": 10_000}.items():
            _write_idx(raw / f"{name}-images-idx3-ubyte", (n, 28, 28), 256)
            _write_idx(raw / f"{name}-labels-idx1-ubyte", (n,), 10)
        yield Path(folder)


def images(root: Path | str) -> torch.Tensor:
    """The training images (60000, 1, 28, 28), uint8."""
    from torchvision.datasets import MNIST

    return MNIST(str(root), train=True).data.unsqueeze(1)
