"""`ae-lightning fit`, as shipped and laid bare, in this process or its own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

from .clock import seconds
from .hand import LR

TESTS = Path(__file__).resolve().parents[1]
CONV = {
    "encoder": {"class_path": "ae_lightning.nn.ConvEncoder"},
    "decoder": {"class_path": "ae_lightning.nn.ConvDecoder"},
}


@dataclass(frozen=True)
class Setting:
    """A system on MNIST's training set or other images, for so many steps.

    Args:
        sigma: of the likelihood's Gaussian, where it is not learned as in a system as it comes.
    """

    conv: bool
    batch: int
    steps: int
    system: str = "vae"
    sigma: float | None = None

    @property
    def name(self) -> str:
        system = "" if self.system == "vae" else f"{self.system} "
        return f"{system}{'conv' if self.conv else 'mlp'} {self.batch}"


MLP_128, MLP_512 = Setting(False, 128, 429), Setting(False, 512, 107)
CONV_128, CONV_512 = Setting(True, 128, 150), Setting(True, 512, 50)

# The page of a run, which training does not wait for, without pictures.
PLAIN_PAGE = {"class_path": "ae_lightning.callbacks.Report", "init_args": {"names": []}}
ADAM = {"class_path": "torch.optim.Adam", "init_args": {"lr": LR, "fused": True}}
BARE = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}


def config(setting: Setting, root: Path, clock: Path, **trainer: Any) -> dict[str, Any]:
    """What is added to the system's config and `mnist`; the root may be a file of images."""
    data: dict[str, Any] = {"init_args": {"root": str(root)}}
    if root.is_file():
        name = "ae_lightning.datamodules.NumpyFile"
        data = {"class_path": name, "init_args": {"path": str(root)}}
    data["init_args"]["batch_size"] = setting.batch
    model: dict[str, Any] = {"optimizer": ADAM, **(CONV if setting.conv else {})}
    if setting.sigma is not None:
        name = "ae_lightning.likelihoods.Gaussian"
        model["likelihood"] = {"class_path": name, "init_args": {"sigma": setting.sigma}}
    clocked = {"class_path": "bench.clock.Clock", "init_args": {"path": str(clock)}}
    return {
        "trainer": {
            "max_epochs": 1,
            "accelerator": "cpu",
            "limit_train_batches": setting.steps,
            "limit_val_batches": 4,  # which the clock leaves out
            **trainer,
            "callbacks": [clocked, *trainer.get("callbacks", [])],
        },
        "model": {"init_args": model},
        "data": data,
    }


@contextmanager
def command(setting: Setting, root: Path, **trainer: Any) -> Iterator[tuple[list[str], Path]]:
    """The arguments of `ae-lightning`, and the file that the seconds a step are written to."""
    with tempfile.TemporaryDirectory() as folder:
        clock, file = Path(folder, "clock"), Path(folder, "bench.yaml")
        file.write_text(yaml.safe_dump(config(setting, root, clock, **trainer)))
        configs = [a for c in (setting.system, "mnist", str(file)) for a in ("--config", c)]
        yield ["fit", *configs, "--run", str(Path(folder, "run"))], clock


@contextmanager
def terminal() -> Iterator[int]:
    """A pseudo-terminal to write to, read by nobody, so that progress bars are drawn."""
    reader, writer = pty.openpty()

    def drain() -> None:
        try:
            while os.read(reader, 65536):
                pass
        except OSError:  # the other end is closed
            pass

    thread = Thread(target=drain, daemon=True)
    thread.start()
    try:
        yield writer
    finally:
        os.close(writer)
        thread.join()
        os.close(reader)


def fit(setting: Setting, root: Path, *flags: str, **trainer: Any) -> list[float]:
    """Train in this process; return the seconds that a step took in each epoch."""
    with command(setting, root, **trainer) as (arguments, clock):
        run_here([*arguments, *flags])
        return seconds(clock)


def run_here(arguments: list[str], expected: int = 0) -> None:
    """Run `ae-lightning` in this process, on a terminal."""
    from ae_lightning.cli.main import main

    with terminal() as tty:
        with open(tty, "w", closefd=False) as out, redirect_stdout(out):
            code = main(arguments)
        if code != expected:
            raise RuntimeError(f"ae-lightning {' '.join(arguments)} ended with {code}")


def fit_apart(
    setting: Setting, root: Path, environment: Mapping[str, str], **trainer: Any
) -> float:
    """Train in a process of its own, with these changes to the environment."""
    with command(setting, root, **trainer) as (arguments, clock), terminal() as tty:
        run_apart(["-m", "ae_lightning", *arguments], environment, tty)
        return seconds(clock)[0]


def run_apart(
    arguments: list[str],
    environment: Mapping[str, str] = os.environ,
    stdout: int = subprocess.PIPE,
    python: str = sys.executable,
    may_fail: bool = False,
) -> str:
    """Run Python in a process of its own, and return what it printed."""
    env = {**os.environ, "PYTHONPATH": str(TESTS), **environment}
    done = subprocess.run(
        [python, *arguments], env=env, stdout=stdout, stderr=subprocess.PIPE, text=True
    )
    if done.returncode and not may_fail:
        raise RuntimeError(f"python {' '.join(arguments)} failed: {done.stderr[-2000:]}")
    return done.stdout or ""
