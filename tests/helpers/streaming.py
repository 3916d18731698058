"""Folders written for streaming, and pairs that are equal."""

from __future__ import annotations

from pathlib import Path

import torch

from ae_lightning.core.types import Pair

SMALL = 0.0007  # megabytes, which three images of 8 × 8 pixels take


def optimized(folder: Path | str, out: Path, chunk_mb: float = SMALL, **options: object) -> Path:
    from ae_lightning.cli.optimize import optimize

    optimize(Path(folder), out, chunk_mb=chunk_mb, num_workers=0, **options)
    return out


def equal(one: Pair, other: Pair) -> bool:
    return all(map(torch.equal, one, other))
