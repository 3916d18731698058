"""A run with callbacks that read metrics or exchange weights resumes to the bit, from anywhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ae_lightning.cli.main import main
from ae_lightning.training import run_directory
from ae_lightning.training.checkpoint_writing import Checkpoints
from helpers.resuming import ON
from soak import eventful
from soak.faults import MOMENT

LIGHTNING = "lightning.pytorch.callbacks"
STOPS = {"monitor": "val/loss", "patience": 1, "min_delta": 1e9}
BEST = {"monitor": "val/loss", "save_top_k": 2}
WATCHING: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "EarlyStopping": [(f"{LIGHTNING}.EarlyStopping", STOPS)],
    "ModelCheckpoint": [(f"{LIGHTNING}.ModelCheckpoint", BEST)],
    "ModelCheckpoint that waits for a validation": [
        (f"{LIGHTNING}.ModelCheckpoint", BEST | {"every_n_train_steps": 2})
    ],
    "a plateau of one's own": [("helpers.callbacks.Plateau", {})],
    "a reader of one's own": [("helpers.callbacks.Reader", {})],
}
EXCHANGING = {
    "EMA": [(f"{LIGHTNING}.EMAWeightAveraging", {"decay": 0.5})],
    "SWA": [(f"{LIGHTNING}.StochasticWeightAveraging", {"swa_lrs": 0.01, "swa_epoch_start": 1})],
    "an exchange of one's own": [("helpers.callbacks.Exchanger", {})],
    "a late exchange of one's own": [("helpers.callbacks.LateExchanger", {})],
}
EVERY = WATCHING | EXCHANGING
ACCUMULATES = (f"{LIGHTNING}.GradientAccumulationScheduler", {"scheduling": {"0": 1, "1": 3}})
TIMER = (f"{LIGHTNING}.Timer", {"duration": "00:01:00:00"})
SETTINGS: dict[str, tuple[list[tuple[str, dict[str, Any]]], dict[str, Any]]] = {
    "accumulation that an epoch changes": ([ACCUMULATES], {"accumulate_grad_batches": 1}),
    "a ModelCheckpoint of steps": (
        [
            (
                f"{LIGHTNING}.ModelCheckpoint",
                BEST | {"monitor": "train/loss", "every_n_train_steps": 2},
            )
        ],
        {},
    ),
    "64 bits": ([], {"precision": "64-true"}),
}


def write(callbacks: list[tuple[str, dict[str, Any]]], **trainer: Any) -> None:
    """A config of a run of two epochs of four batches, in two steps each."""
    config = eventful.config(epochs=2, size=256)
    config["trainer"] |= {"val_check_interval": 1.0, "accumulate_grad_batches": 2, **trainer}
    report = config["trainer"]["callbacks"][1]
    added = [{"class_path": path, "init_args": arguments} for path, arguments in callbacks]
    config["trainer"]["callbacks"] = [report, *added]
    config["checkpoints"] = {"every_n_steps": 1}
    Path("config.yaml").write_text(yaml.safe_dump(config))


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where the next run is copied to: as it is after each state, and at the end of each hook."""
    monkeypatch.chdir(tmp_path)
    made: list[Path] = []

    def copy(*_: Any) -> None:
        found = [p.name for p in sorted(Path("run/checkpoints").glob("*.ckpt"))]
        last = made[-1] / "run/checkpoints" if made else Path("none")
        if run_directory.states(Path("run")) and found != [p.name for p in sorted(last.glob("*"))]:
            made.append(tmp_path / f"copy-{len(made)}")
            shutil.copytree("run", made[-1] / "run")

    def copying(hook: Any) -> Any:
        def wrapped(self: Any, *arguments: Any, **named: Any) -> None:
            copy()
            hook(self, *arguments, **named)
            copy()

        return wrapped

    for name in ("save", "teardown"):
        monkeypatch.setattr(Checkpoints, name, copying(getattr(Checkpoints, name)))
    return made


@pytest.mark.parametrize("interval", [1.0, 0.5], ids=["by epochs", "by halves"])
@pytest.mark.parametrize("name", EVERY)
def test_a_run_resumes_to_the_bit_from_each_of_its_states(
    name: str, interval: float, copies: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(EVERY[name], val_check_interval=interval)
    require_resumed_to_the_bit(copies, monkeypatch)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_resumes_to_the_bit_under_settings_that_change_how_it_trains(
    name: str, copies: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    callbacks, trainer = SETTINGS[name]
    write(callbacks, **trainer)
    require_resumed_to_the_bit(copies, monkeypatch)


def test_a_timer_is_recorded_so_that_the_run_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write([TIMER], max_epochs=1)
    assert main(["fit", "--config", "config.yaml", "--run", "run"]) == 0
    assert main([*ON, "--trainer.max_epochs", "2"]) == 0


def require_resumed_to_the_bit(copies: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["fit", "--config", "config.yaml", "--run", "run"]) == 0
    whole, taken = Path("run").resolve(), list(copies)
    assert len(taken) >= 2
    for copied in taken:
        monkeypatch.chdir(copied)
        assert main(ON) == 0
        assert eventful.differences(whole, Path("run")) == [], copied.name


@pytest.mark.parametrize("name", ["EMA", "an exchange of one's own", "a reader of one's own"])
def test_a_signal_in_a_validation_saves_the_weights_in_training(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write([("soak.faults.Killer", {}), *EVERY[name]], val_check_interval=0.5)
    begin = ["fit", "--config", "config.yaml", "--run"]
    assert main([*begin, "whole"]) == 0
    monkeypatch.setenv(MOMENT, "validation:1:SIGTERM")
    assert main([*begin, "run"]) == 143
    monkeypatch.delenv(MOMENT)
    assert main(ON) == 0
    assert eventful.differences(Path("whole"), Path("run")) == []
