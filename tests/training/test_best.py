"""The best checkpoint is the best: by an objective that compares, and of what was evaluated."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ae_lightning import VariationalAutoEncoder
from ae_lightning.cli.main import main
from ae_lightning.regularizers import Rate
from ae_lightning.schedules import Linear
from ae_lightning.training.checkpoint_writing import Checkpoints
from helpers.runs import rows
from soak import eventful


def trained(folder: Path, weight: Any, *flags: str, callbacks: list[str] | None = None) -> Path:
    config = eventful.config(epochs=4, size=256)
    report = config["trainer"]["callbacks"][1]
    config["trainer"]["callbacks"] = [report, *({"class_path": c} for c in callbacks or [])]
    config["trainer"]["val_check_interval"] = 1.0
    config["model"]["init_args"]["regularizers"]["rate"]["init_args"]["weight"] = weight
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    run = folder / "run"
    assert main(["fit", "--config", str(folder / "config.yaml"), "--run", str(run), *flags]) == 0
    return run


def validations(run: Path) -> list[dict[str, float]]:
    kept = [r for r in rows(run) if r["val/loss"]]
    return [{k: float(v) for k, v in r.items() if k and v} for r in kept]


def best(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(run / "checkpoints/best.ckpt", weights_only=True)
    return found


def rising(end: float) -> dict[str, Any]:
    arguments = {"start": 0, "end": end}
    return {"class_path": "ae_lightning.schedules.Linear", "init_args": arguments}


def test_the_objective_has_the_weights_that_schedules_end_with(tmp_path: Path) -> None:
    found = validations(run := trained(tmp_path, rising(50)))
    for row in found:
        assert row["val/objective"] == pytest.approx(row["val/distortion"] + 50 * row["val/rate"])
    losses = [row["val/loss"] for row in found]
    objectives = [row["val/objective"] for row in found]
    assert losses.index(min(losses)) != objectives.index(min(objectives))
    assert best(run)["epoch"] == objectives.index(min(objectives))


def test_without_a_schedule_the_objective_is_the_loss_to_the_bit(tmp_path: Path) -> None:
    for row in validations(trained(tmp_path, 2.0)):
        assert row["val/objective"] == row["val/loss"]


def test_more_is_better_where_it_is(tmp_path: Path) -> None:
    run = trained(tmp_path, 1.0, "--checkpoints.monitor", "val/elbo")
    found = [row["val/elbo"] for row in validations(run)]
    assert best(run)["epoch"] == found.index(max(found))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["--checkpoints.monitor", "val/elbo", "--checkpoints.mode", "min"],
            "the mode of checkpoints is min, and more is better of val/elbo: set max.",
        ),
        (
            ["--checkpoints.monitor", "val/rate"],
            "checkpoints.monitor is val/rate: say whether less or more of it is better, by "
            "--checkpoints.mode min or max.",
        ),
        (
            ["--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitor", "val/psnr"],
            "the mode of EarlyStopping is min, and more is better of val/psnr: set max.",
        ),
        (
            ["--trainer.callbacks", "ModelCheckpoint", "--trainer.callbacks.filename", "best"],
            "trainer.callbacks: the filename of ModelCheckpoint is best, as a run names its own "
            "checkpoints: choose another, or a dirpath.",
        ),
    ],
)
def test_what_would_keep_the_worst_is_refused(
    flags: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin = ["fit", "--config", "vae", "--config", "digits", "--run", str(tmp_path / "run")]
    assert main([*begin, "--trainer.max_epochs", "1", *flags]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"ae-lightning: {said}"


def test_a_callback_that_compares_what_cannot_be_compared_is_warned_of(tmp_path: Path) -> None:
    flags = ["--checkpoints.monitor", "val/loss"]
    with pytest.warns(UserWarning, match="Checkpoints watches val/loss, whose weights change"):
        trained(tmp_path, rising(2), *flags)


def test_a_mode_is_what_is_known_of_a_metric() -> None:
    assert Checkpoints().mode == Checkpoints("val/mse").mode == "min"
    assert Checkpoints("val/psnr").mode == "max"
    assert Checkpoints("val/rate", "max").mode == "max"


def test_a_clock_at_its_end_ends_every_schedule() -> None:
    for span in ({}, {"steps": 7}, {"epochs": 3}):
        model = VariationalAutoEncoder((2,), 1, regularizers={"rate": Rate(Linear(0, 4, **span))})
        model.clock = model.clock.at_end()
        assert model.weights() == {"rate": 4}


# ---------------------------------------------------------------- averaged weights


@pytest.mark.parametrize("name", ["EMAWeightAveraging", "Exchanger", "LateExchanger"])
def test_the_best_checkpoint_holds_the_weights_that_were_evaluated(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = "lightning.pytorch.callbacks" if name.startswith("EMA") else "helpers.callbacks"
    run = trained(tmp_path, 1.0, callbacks=[f"{own}.{name}"])
    capsys.readouterr()
    assert main(["validate", "--run", str(run)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    figures = {name: float(value) for name, value in lines}
    chosen = min(row["val/objective"] for row in validations(run))
    assert figures["val/objective"] == pytest.approx(chosen, rel=1e-5)


def test_weights_that_are_averaged_at_the_end_are_kept_and_spoken_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    config = eventful.config(epochs=2, size=256)
    averaging = {
        "class_path": "lightning.pytorch.callbacks.StochasticWeightAveraging",
        "init_args": {"swa_lrs": 0.01, "swa_epoch_start": 1},
    }
    config["trainer"]["callbacks"] = [config["trainer"]["callbacks"][1], averaging]
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    run = tmp_path / "run"
    with caplog.at_level("INFO", "lightning.pytorch.utilities.rank_zero"):
        assert main(["fit", "--config", str(tmp_path / "config.yaml"), "--run", str(run)]) == 0
    assert "best.ckpt does not hold them. They are in" in caplog.text
    kept = torch.load(run / "checkpoints/final.ckpt", weights_only=True)["state_dict"]
    newest = torch.load(max((run / "checkpoints").glob("step-*")), weights_only=True)
    averaged = newest["callbacks"]["StochasticWeightAveraging"]["average_model_state"]
    for name, value in kept.items():
        if name.endswith(("weight", "bias")):
            assert torch.equal(value, averaged[name]), name
    assert main(["validate", "--ckpt_path", str(run / "checkpoints/final.ckpt")]) == 0
    assert math.isfinite(float(capsys.readouterr().out.split("val/objective")[1].split()[0]))
