"""How a run grows with its data, and with its epochs."""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import yaml
from lightning.pytorch import Callback, Trainer

from .measure import Case, Goal
from .product import run_apart

SIZES = 10_000, 100_000, 1_000_000, 10_000_000  # examples, of four numbers each
BATCH = 1000
EPOCHS = 1000
TINY = {"latent": 2}
TINY |= {
    f"{part}coder": {"class_path": "MLP", "init_args": {"widths": [8]}} for part in ("en", "de")
}


class Spent(Callback):
    """Write every epoch's CPU seconds, until the next begins, and the peak of memory, to a file.

    An epoch's validation, checkpoints and metrics are part of it.
    """

    def __init__(self, path: str) -> None:
        self.path, self.start, self.lines = Path(path), 0.0, list[str]()

    def _end(self) -> None:
        if self.start:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            self.lines.append(f"{time.process_time() - self.start} {peak}")
        self.start = time.process_time()

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        self._end()

    def on_train_end(self, trainer: Trainer, *_: Any) -> None:
        self._end()
        self.path.write_text("\n".join(self.lines))


def run(folder: Path, *configs: str, **sections: Any) -> tuple[list[float], list[float]]:
    """Train in a process of its own: the CPU seconds and the peak memory, by epoch."""
    spent, file = folder / "spent", folder / "growing.yaml"
    noting = {"class_path": "bench.growing.Spent", "init_args": {"path": str(spent)}}
    page = {"class_path": "ae_lightning.callbacks.Report", "init_args": {"names": []}}
    trainer = {"accelerator": "cpu", "enable_progress_bar": False, "callbacks": [noting, page]}
    trainer |= sections.pop("trainer")
    file.write_text(yaml.safe_dump({"trainer": trainer, **sections}))
    named = [word for name in (*configs, str(file)) for word in ("--config", name)]
    with tempfile.TemporaryDirectory(dir=folder) as run_folder:
        run_apart(["-m", "ae_lightning", "fit", *named, "--run", f"{run_folder}/run"], {})
    lines = [line.split() for line in spent.read_text().splitlines()]
    return [float(cpu) for cpu, _ in lines], [float(peak) for _, peak in lines]


def growth() -> Goal:
    """CPU time of an epoch by example, and memory, from ten thousand examples to ten million."""
    goal, each, peaks = Goal("growth", "growth with the examples"), {}, {}
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "examples.npy")
        for n in SIZES:
            np.save(file, np.random.default_rng(0).random((n, 4), np.float32))
            args = {"path": str(file), "batch_size": BATCH, "val_size": BATCH}
            data = {"class_path": "ae_lightning.datamodules.NumpyFile", "init_args": args}
            model = {"init_args": TINY}
            trainer = {"max_epochs": 2 if n < SIZES[-1] else 1}
            cpu, peak = run(Path(name), "vae", data=data, model=model, trainer=trainer)
            each[n], peaks[n] = min(cpu) / n, peak[-1]
    for n in SIZES[2:]:
        case = f"seconds an example, {n:,} / {n // 10:,}"
        goal.cases.append(Case(case, [each[n] / each[n // 10]], 1.1, at_most=True))
    few, many = SIZES[0], SIZES[-1]
    held = (peaks[many] - peaks[few]) / (16 * (many - few))
    goal.cases.append(Case(f"memory for {many:,} / their bytes", [held], 2.5, at_most=True))
    return goal


def epochs() -> Goal:
    """The last hundred of a thousand epochs of digits, in those from the second on."""
    with tempfile.TemporaryDirectory() as name:
        data = {"init_args": {"batch_size": 512}}
        trainer = {"max_epochs": EPOCHS}
        cpu, peak = run(Path(name), "vae", "digits", data=data, trainer=trainer)
    last = median(cpu[-100:]) / median(cpu[1:101])
    cases = [
        Case("CPU seconds", [last], 1.1, at_most=True),
        Case("memory", [peak[-1] / peak[100]], 1.1, at_most=True),
    ]
    return Goal("epochs", f"the last of {EPOCHS:,} epochs of digits / the second", cases)
