"""Image files of every kind of bits, and what is read of them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ae_lightning.core.errors import UsageError
from ae_lightning.datamodules.loading.rendering import Rendering
from helpers.draws import RNG

H, W = 5, 7


def integers(kind: str, *shape: int) -> np.ndarray:
    bounds = np.iinfo(kind)
    return RNG.integers(bounds.min, bounds.max, (H, W, *shape), kind, endpoint=True)


def chunk(name: bytes, data: bytes) -> bytes:
    """A part of a PNG."""
    crc = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + crc


def png(path: Path, values: np.ndarray, kind: int, more: bytes = b"") -> Path:
    """Write a PNG of 16 bits: kind 0 is grey, 2 colour, 4 and 6 those with opacity."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    body = chunk(b"IHDR", head) + more + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def refusal(path: Path, frame: int | None = None, **options: Any) -> str:
    with pytest.raises(UsageError) as caught:
        Rendering(**options)(path, frame)
    said = str(caught.value)
    assert said.startswith(str(path)), said
    assert "\n" not in said
    return said


def near(x: torch.Tensor, expected: np.ndarray, channels: bool = True) -> bool:
    """Whether x (C, H, W) is what was written (H, W) or (H, W, C)."""
    y = torch.from_numpy(np.ascontiguousarray(expected)).double()
    y = y.expand(3, *y.shape) if y.ndim == 2 else y.permute(2, 0, 1)
    return x.shape == y.shape and torch.allclose(x.double(), y, atol=1e-6, rtol=0)
