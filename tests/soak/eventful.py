"""A small run in which all that resuming could get wrong happens, and its fingerprint."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import torch
import yaml

from ae_lightning.training import run_directory

TRUST = ["--trust", "soak"]  # whose part the config names, to resume with it


def config(epochs: int = 4, size: int = 640) -> dict[str, Any]:
    """Noise of every kind, schedules, accumulation, and validations in the middle of epochs."""
    lib = "ae_lightning"
    widths = {"widths": [16], "dropout": 0.2}
    rise = {"class_path": f"{lib}.schedules.Linear", "init_args": {"start": 0, "end": 2}}
    return {
        "trainer": {
            "max_epochs": epochs,
            "accelerator": "cpu",
            "accumulate_grad_batches": 3,
            "val_check_interval": 0.3,
            "log_every_n_steps": 2,
            "callbacks": [
                {"class_path": "soak.faults.Killer"},
                {"class_path": f"{lib}.callbacks.Report", "init_args": {"names": []}},
            ],
        },
        "checkpoints": {"every_n_steps": 2},
        "model": {
            "class_path": f"{lib}.VariationalAutoEncoder",
            "init_args": {
                "latent": 2,
                "encoder": {"class_path": f"{lib}.nn.MLP", "init_args": widths},
                "decoder": {"class_path": f"{lib}.nn.MLP", "init_args": {"widths": [16]}},
                "regularizers": {
                    "rate": {
                        "class_path": f"{lib}.regularizers.Rate",
                        "init_args": {"weight": rise},
                    }
                },
                "lr_schedule": {"class_path": f"{lib}.schedules.OneCycle"},
            },
        },
        "data": {
            "class_path": f"{lib}.datamodules.Manifold",
            "init_args": {
                "size": size,
                "batch_size": 32,
                "val_size": 64,
                "corruption": {"class_path": f"{lib}.corruptions.GaussianNoise"},
            },
        },
    }


def write(folder: Path, **sizes: int) -> Path:
    """Write the config into a folder, and return its path."""
    file = folder / "eventful.yaml"
    file.write_text(yaml.safe_dump(config(**sizes)))
    return file


def fingerprint(run: Path) -> dict[str, str]:
    """A hash of all that resuming must bring about: two runs are equal where theirs are."""
    newest = torch.load(run_directory.states(run)[0], weights_only=True)
    best = torch.load(run_directory.best_checkpoint(run), weights_only=True)
    parts = {
        "last state": run_directory.states(run)[0].name,
        "weights": newest["state_dict"],
        "optimizer": newest["optimizer_states"],
        "learning rates": newest["lr_schedulers"],
        "clock": newest["clock"],
        "callbacks": newest["callbacks"],
        "best weights": best["state_dict"],
        "best place": [best["epoch"], best["global_step"]],
        "metrics.csv": (run / run_directory.METRICS).read_text(),
    }
    return {name: digest(value) for name, value in parts.items()}


def validated(run: Path) -> list[dict[str, str]]:
    """The validations of a run, as metrics.csv has them."""
    with (run / run_directory.METRICS).open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["val/loss"]]


def digest(value: Any) -> str:
    """A hash of plain values and tensors, equal only where these are equal to the bit."""
    sum_ = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            sum_.update(f"{value.dtype}{tuple(value.shape)}".encode())
            sum_.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        elif isinstance(value, dict):
            for key, inner in value.items():
                sum_.update(f"{key!r}:".encode())
                add(inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                add(inner)
        else:
            # A config spells a weight decay of 0 as 0.0.
            number = isinstance(value, int) and not isinstance(value, bool)
            sum_.update(f"{float(value) if number else value!r};".encode())

    add(value)
    return sum_.hexdigest()


def differences(one: Path, other: Path) -> list[str]:
    """What two runs differ in."""
    A, B = fingerprint(one), fingerprint(other)
    return [name for name in A if A[name] != B[name]]
