"""Steps are those of the optimizer that are done: in metrics, file names, intervals and limits."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from torch.optim import SGD

from ae_lightning.cli.main import main
from ae_lightning.core.types import Pair
from ae_lightning.schedules import Constant
from ae_lightning.training import run_directory
from helpers.models import SHAPE, model_of
from helpers.resuming import ON
from helpers.runs import rows
from helpers.training import fit
from soak import eventful


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def trained(*flags: str, lr_schedule: dict[str, Any] | None = None, **trainer: Any) -> Path:
    """A run of eight batches an epoch, in two steps each, whose log interval is its own choice."""
    config = eventful.config(epochs=2, size=384)
    config["trainer"] |= {"accumulate_grad_batches": 4, "val_check_interval": 1.0, **trainer}
    config["trainer"]["callbacks"] = [config["trainer"]["callbacks"][1]]
    del config["trainer"]["log_every_n_steps"]
    if lr_schedule:
        config["model"]["init_args"]["lr_schedule"] = lr_schedule
    Path("config.yaml").write_text(yaml.safe_dump(config))
    assert main(["fit", "--config", "config.yaml", "--run", "run", *flags]) == 0
    return Path("run")


def test_the_interval_counts_steps_and_a_step_is_one_that_is_done() -> None:
    run = trained()
    training = [r for r in rows(run) if r["train/loss"]]
    assert [(r["epoch"], r["step"]) for r in training] == [("0", "2"), ("1", "4")]
    validations = [r for r in rows(run) if r["val/loss"]]
    assert [r["step"] for r in validations] == ["2", "4"]
    assert [run_directory.step_of(s) for s in run_directory.states(run)] == [4, 2]


def rates(run: Path) -> list[str]:
    return [r["lr"] for r in rows(run) if r["train/loss"]]


def test_a_rate_is_logged_when_it_changes() -> None:
    first, second = rates(trained())
    assert float(first) > float(second) > 0  # the one cycle falls


def test_a_constant_rate_is_logged_once_also_if_the_run_is_resumed() -> None:
    constant = {"class_path": "ae_lightning.schedules.Constant"}
    trained("--trainer.max_epochs", "1", lr_schedule=constant)
    assert main([*ON, "--trainer.max_epochs", "2"]) == 0
    assert rates(Path("run")) == ["0.003", ""]


def test_the_last_step_of_an_epoch_takes_the_mean_of_what_it_accumulated() -> None:
    x = torch.rand(3, 5, *SHAPE, dtype=torch.float64)
    pairs = [Pair(each, each, torch.zeros(5), torch.arange(5)) for each in x]
    options = {"optimizer": partial(SGD, lr=0.01), "lr_schedule": Constant()}
    model, other = model_of(**options), model_of(**options)
    fit(model, pairs, accumulate_grad_batches=2, max_epochs=1, limit_val_batches=0)
    other._begin(pairs[0])
    sgd = SGD(other.parameters(), lr=0.01)
    for step in (pairs[:2], pairs[2:]):
        sgd.zero_grad()
        losses = [other.objective(other.propagate(pair))["loss"] for pair in step]
        torch.stack(losses).mean().backward()
        sgd.step()
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("max_steps", "planned"), [(-1, 3 + 2 + 1), (4, 4)])
def test_a_cycle_spans_the_steps_of_epochs_that_accumulate_differently(
    max_steps: int, planned: int
) -> None:
    x = torch.rand(3, 5, *SHAPE)
    model = model_of(optimizer=partial(SGD, lr=0.01))
    scheduler = GradientAccumulationScheduler({1: 2, 2: 4})
    ends = {"max_epochs": 3, "max_steps": max_steps}
    pairs = [Pair(each, each, torch.zeros(5), torch.arange(5)) for each in x]
    trainer = fit(model, pairs, callbacks=[scheduler], limit_val_batches=0, **ends)
    assert model.clock.total_steps == trainer.global_step == planned


@pytest.mark.parametrize(
    ("flags", "option"),
    [
        (["--trainer.max_steps", "3"], "--trainer.max_steps"),
        (["--trainer.max_steps", "4"], "--trainer.max_steps and --trainer.max_epochs"),
        (["--trainer.max_epochs", "1"], "--trainer.max_epochs"),
    ],
)
def test_a_complete_run_names_what_has_ended_it(
    flags: list[str], option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    trained(*flags)
    capsys.readouterr()
    assert main(ON) == 0
    assert f"the run was complete: raise {option} to train on" in capsys.readouterr().out


def test_early_stopping_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    stop = ["--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitor", "val/loss"]
    trained(*stop, "--trainer.callbacks.patience", "1", "--trainer.callbacks.min_delta", "1e9")
    said = capsys.readouterr().out
    assert "training stopped early, since val/loss has not improved on " in said
    assert " in 1 validations: raise the patience of EarlyStopping" in said


def test_a_run_whose_time_is_up_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    trained("--trainer.max_time", "00:00:00:00")
    assert "its time is up: raise --trainer.max_time" in capsys.readouterr().out
