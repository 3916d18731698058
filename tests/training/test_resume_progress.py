"""A resumed run goes on where it stood: stopped early or not, in every schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ae_lightning.cli.main import main
from ae_lightning.training import run_directory
from helpers.apart import ae_lightning
from helpers.resuming import ON, SIZES
from soak import eventful
from soak.faults import MOMENT

# --------------------------------------------------------- runs that stopped early


def stopping(folder: Path, patience: int, **options: Any) -> Path:
    """A config whose every validation but the first counts as none that is better."""
    config = eventful.config(epochs=2, size=384)
    stop = {"monitor": "val/loss", "patience": patience, "min_delta": 1e9, **options}
    callback = {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": stop}
    config["trainer"]["callbacks"].append(callback)
    file = folder / f"patience-{patience}.yaml"
    file.write_text(yaml.safe_dump(config))
    return file


def validations(run: Path) -> int:
    return len(eventful.validated(run))


def test_a_run_that_stopped_early_trains_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path("run")
    assert main(["fit", "--config", str(stopping(tmp_path, 2)), "--run", "run"]) == 0
    assert validations(run) == 3  # in the midst of the first epoch
    found = eventful.fingerprint(run)
    for flags in ([], ["--trainer.max_epochs", "9"]):
        capsys.readouterr()
        assert main([*ON, *flags]) == 0
        assert "the run was complete: it had stopped early" in capsys.readouterr().out
        assert eventful.fingerprint(run) == found


def test_a_run_that_stopped_early_goes_on_with_more_patience_as_if_it_had_had_it_all_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    begin = ["fit", "--run"]
    patient = stopping(tmp_path, 5)
    assert main([*begin, "whole", "--config", str(patient)]) == 0
    assert main([*begin, "run", "--config", str(stopping(tmp_path, 2))]) == 0
    assert validations(Path("run")) == 3
    assert main([*ON, "--config", str(patient)]) == 0
    assert validations(Path("run")) == 6
    assert eventful.differences(Path("whole"), Path("run")) == []
    # And with no such callback at all, to the end.
    callbacks = eventful.config()["trainer"]["callbacks"]
    Path("without.yaml").write_text(yaml.safe_dump({"trainer": {"callbacks": callbacks}}))
    assert main([*ON, "--config", "without.yaml"]) == 0
    assert validations(Path("run")) == 8


def test_a_run_that_was_killed_after_it_was_told_to_stop_does_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    config = stopping(tmp_path, 2)
    assert main(["fit", "--config", str(config), "--run", "whole"]) == 0
    arguments = ["fit", "--config", str(config), "--run", "run"]
    code, said = ae_lightning(tmp_path, arguments, {MOMENT: "replaced:4"})
    assert code == -9, said
    assert main(ON) == 0
    assert eventful.differences(Path("whole"), Path("run")) == []


# ------------------------------------------------------- schedules and validations


def variant(lr: dict[str, Any], **trainer: Any) -> dict[str, Any]:
    config = eventful.config(**SIZES)
    path, arguments = f"ae_lightning.schedules.{lr.pop('class')}", lr
    config["model"]["init_args"]["lr_schedule"] = {"class_path": path, "init_args": arguments}
    config["trainer"] |= trainer
    return config


VARIANTS = {
    "linear over all, validated every 3 batches, no accumulation": variant(
        {"class": "Linear", "start": 1.0, "end": 0.1},
        val_check_interval=3,
        accumulate_grad_batches=1,
    ),
    "cosine over epochs, validated by halves, 2 batches a step": variant(
        {"class": "Cosine", "start": 1.0, "end": 0.0, "epochs": 2},
        val_check_interval=0.5,
        accumulate_grad_batches=2,
    ),
    "cyclic over steps, validated every second epoch, 5 batches a step": variant(
        {"class": "Cyclic", "start": 0.5, "end": 1.0, "steps": 4, "cycles": 2},
        val_check_interval=1.0,
        check_val_every_n_epoch=2,
        accumulate_grad_batches=5,
    ),
    "one cycle over steps, validated across epochs, 3 batches a step": variant(
        {"class": "OneCycle", "steps": 5},
        val_check_interval=5,
        check_val_every_n_epoch=None,
        accumulate_grad_batches=3,
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_schedule_goes_on_where_it_stood(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped twice within steps that accumulate, in the first epoch and in the second."""
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(yaml.safe_dump(VARIANTS[name]))
    begin = ["fit", "--config", "config.yaml", "--run"]
    assert main([*begin, "whole"]) == 0
    for arguments, moment in (([*begin, "run"], "batch:7:SIGTERM"), (ON, "batch:4:SIGINT")):
        monkeypatch.setenv(MOMENT, moment)
        assert main(arguments) == {"M": 143, "T": 130}[moment[-1]]
    monkeypatch.delenv(MOMENT)
    rates = torch.load(run_directory.states(Path("run"))[0], weights_only=True)["lr_schedulers"]
    each = VARIANTS[name]["trainer"]["accumulate_grad_batches"]
    assert rates[0]["last_epoch"] == -(-8 // each) + 3 // each
    assert main(ON) == 0
    assert eventful.differences(Path("whole"), Path("run")) == []
