"""What a training step costs in counts, which nobody else on the machine can change."""

from __future__ import annotations

import cProfile
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import mean
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from lightning.pytorch import Callback, Trainer

from .data import mnist_root
from .measure import Case, Goal
from .product import BARE, CONV_128, MLP_128, PLAIN_PAGE, Setting, fit, fit_apart

Train = Callable[..., object]  # `fit` or `fit_apart`

FLAT = ("linear", "sparse", "contractive")  # they choose networks of their own
SYSTEMS = (*FLAT, "undercomplete", "denoising", "stochastic", "vae", "iwae")


class Calls(Callback):
    """Write how many functions the main thread calls in an epoch of training, to a file."""

    def __init__(self, path: str) -> None:
        self.path, self.profile = Path(path), cProfile.Profile()

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        self.profile.enable()

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        self.profile.disable()
        self.path.write_text(str(sum(entry.callcount for entry in self.profile.getstats())))


def noted(
    noting: type[Callback], setting: Setting, root: Path, train: Train, **trainer: Any
) -> str:
    """What a callback of this module has written of a training."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "noted")
        path = f"bench.counts.{noting.__name__}"
        callbacks = [PLAIN_PAGE, {"class_path": path, "init_args": {"path": str(file)}}]
        train(setting, root, limit_val_batches=0, callbacks=callbacks, **trainer)
        return file.read_text()


def calls_per_step(
    setting: Setting, root: Path, steps: tuple[int, int] = (100, 300), **trainer: Any
) -> float:
    """Calls of functions, Python's and C's, in a training step.

    Those of a training of so many steps, less those of a shorter one. The progress bar is at rest,
    since how often it is drawn depends on the machine.
    """
    fewer, more = steps
    still = SimpleNamespace(monotonic=lambda: 1.0)
    with patch("ae_lightning.training.progress_bar.time", still):
        # The first of them imports what is imported late.
        few, few, many = (
            int(noted(Calls, replace(setting, steps=n), root, fit, **trainer))
            for n in (fewer, fewer, more)
        )
    return (many - few) / (more - fewer)


def calls() -> Goal:
    """Calls of functions in a training step, as shipped and laid bare."""
    with mnist_root() as root:
        counts = {
            "as shipped": (calls_per_step(MLP_128, root), 2200),
            "laid bare": (calls_per_step(MLP_128, root, **BARE), 2000),
        }
    cases = [Case(name, [found], goal, at_most=True) for name, (found, goal) in counts.items()]
    return Goal("calls", "function calls a step", cases)


class Faults(Callback):
    """Write how many page faults this process has had at every training step, to a file."""

    def __init__(self, path: str) -> None:
        self.path, self.counts = Path(path), list[int]()

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        from resource import RUSAGE_SELF, getrusage  # which Windows has not

        self.counts.append(getrusage(RUSAGE_SELF).ru_minflt)

    def on_train_end(self, trainer: Trainer, *_: Any) -> None:
        self.path.write_text(" ".join(map(str, self.counts)))


def faults_per_step(setting: Setting, root: Path, train: Train = fit) -> list[int]:
    """Page faults in every step of the second half of a training."""
    counts = [int(word) for word in noted(Faults, setting, root, train).split()]
    return [after - before for before, after in pairwise(counts)][len(counts) // 2 :]


def faults() -> Goal:
    """Page faults in a training step of every system, each in a process of its own.

    The median step's, in the second half of a training. A step now and then has a few, as long as
    memory still grows: the mean stands beside the name.
    """
    cases = []
    with mnist_root() as root:
        settings = [replace(MLP_128, steps=100, system=name) for name in SYSTEMS]
        settings += [
            replace(CONV_128, steps=60, system=name) for name in SYSTEMS if name not in FLAT
        ]
        for setting in settings:
            found = faults_per_step(setting, root, partial(fit_apart, environment={}))
            name = f"{setting.name}, {mean(found):.2g} on average"
            cases.append(Case(name, [float(n) for n in found], 0, at_most=True))
    return Goal("faults", "page faults a step", cases)
