"""Folders of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from helpers.draws import RNG


def write_images(root: Path, counts: dict[str, int], side: int = 8, mode: str = "RGB") -> str:
    """Write this many random PNGs into each folder of `root`, and return its name."""
    for folder, n in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            shape = (side, side, 3) if mode == "RGB" else (side, side)
            pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{i:04}.png")
    return str(root)
