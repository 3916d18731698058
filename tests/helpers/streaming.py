"""Folders written for streaming, and pairs that are equal."""

from __future__ import annotations

import shutil
from contextlib import chdir
from pathlib import Path

import torch

from ae_lightning.core.types import Pair

from .images import write_images

SMALL = 0.0007  # megabytes, which three images of 8 × 8 pixels take
PLAIN = ["--trainer.callbacks", "ae_lightning.callbacks.Report", "--trainer.callbacks.names", "[]"]
SHORT = ["--data.num_workers", "0", "--trainer.max_epochs", "1", "--data.batch_size", "8"]
FIT = ["fit", "--config", "vae", "--config", "stream", *PLAIN, *SHORT, "--data.path"]


def optimized(folder: Path | str, out: Path, chunk_mb: float = SMALL, **options: object) -> Path:
    from ae_lightning.cli.optimize import optimize

    optimize(Path(folder), out, chunk_mb=chunk_mb, num_workers=0, **options)
    return out


def trained_on_chunks(folder: Path) -> Path:
    """A folder of chunks, FOLDER/data, and a run that was trained on it, FOLDER/run."""
    from ae_lightning.cli.main import main

    optimized(write_images(folder / "images", {"a": 25, "b": 25}), folder / "data", val_size=6)
    with chdir(folder):
        assert main([*FIT, "data", "--run", "run"]) == 0
    return folder


def copied(folder: Path, to: Path) -> Path:
    for name in ("data", "run"):
        shutil.copytree(folder / name, to / name)
    return to


def equal(one: Pair, other: Pair) -> bool:
    return all(map(torch.equal, one, other))
