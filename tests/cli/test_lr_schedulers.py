"""torch's own learning-rate schedulers by their names, in YAML, flags and Python."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LambdaLR, LinearLR, SequentialLR

from ae_lightning import AutoEncoder, VariationalAutoEncoder
from ae_lightning.cli.main import main
from ae_lightning.core.errors import UsageError
from ae_lightning.datamodules import Manifold
from ae_lightning.nn import MLP
from ae_lightning.training import run_directory
from ae_lightning.training.checkpoint_writing import Checkpoints
from helpers.attack import one_sentence
from helpers.training import fit

FIT = (
    *("fit", "--config", "vae", "--data", "Manifold", "--data.size", "99", "--data.val_size", "9"),
    *("--model.encoder.widths", "[8]", "--model.decoder.widths", "[8]", "--model.latent", "2"),
)
EPOCH = 3  # steps
PLATEAU = ["--model.lr_schedule", "ReduceLROnPlateau"]
SCHEDULERS: dict[str, dict[str, Any]] = {
    "CosineAnnealingLR": {"T_max": 5},
    "StepLR": {"step_size": 1, "gamma": 0.5},
    "MultiStepLR": {"milestones": [1, 2], "gamma": 0.5},
    "ExponentialLR": {"gamma": 0.5},
    "LinearLR": {"total_iters": 5},
    "PolynomialLR": {"total_iters": 5},
    "CosineAnnealingWarmRestarts": {"T_0": 2},
    "OneCycleLR": {"max_lr": 0.01, "total_steps": 4 * EPOCH},
    "CyclicLR": {"base_lr": 0.001, "max_lr": 0.01, "step_size_up": 5, "cycle_momentum": False},
    "ReduceLROnPlateau": {"patience": 0, "threshold": 1e9, "threshold_mode": "abs"},
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def trained(run: Path, name: str, resume: Path | None = None, **limits: Any) -> dict[str, Any]:
    """Train under a scheduler, and return the last state of the run."""
    data = Manifold(size=99, val_size=9, batch_size=21)
    schedule = partial(getattr(lr_scheduler, name), **SCHEDULERS[name])
    parts = {"encoder": MLP([8]), "decoder": MLP([8]), "value_range": None}
    model = VariationalAutoEncoder(data.shape, 2, **parts, lr_schedule=schedule)
    limits = {"max_epochs": 3, "callbacks": [Checkpoints()], **limits}
    fit(model, data, run, resume=resume, enable_checkpointing=True, **limits)
    found: dict[str, Any] = torch.load(run_directory.states(run)[0], weights_only=True)
    return found


@pytest.mark.parametrize("stop", [{"max_epochs": 1}, {"max_steps": EPOCH + 2}])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_run_under_a_scheduler_of_torch_resumes_to_the_bit(
    name: str, stop: dict[str, int], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    whole = trained(tmp_path / "whole", name)
    torch.manual_seed(0)
    trained(tmp_path / "parts", name, **stop)
    [state] = run_directory.states(tmp_path / "parts")[:1]
    assert run_directory.step_of(state) < 3 * EPOCH
    parts = trained(tmp_path / "parts", name, state)
    assert whole["lr_schedulers"] == parts["lr_schedulers"]
    rates = [one["optimizer_states"][0]["param_groups"][0]["lr"] for one in (whole, parts)]
    assert rates[0] == rates[1] != 3e-3
    assert all(torch.equal(w, parts["state_dict"][n]) for n, w in whole["state_dict"].items())


def scheduled(name: str) -> list[str]:
    given = SCHEDULERS[name].items()
    return ["--model.lr_schedule", name, *(f"--model.lr_schedule.{n}={v}" for n, v in given)]


def test_a_scheduler_is_recorded_and_read_again() -> None:
    assert main([*FIT, *scheduled("CosineAnnealingLR"), "--trainer.max_steps=1", "--run", "a"]) == 0
    schedule = yaml.safe_load(Path("a/config.yaml").read_text())["model"]["init_args"][
        "lr_schedule"
    ]
    assert schedule["class_path"].endswith("CosineAnnealingLR")
    assert schedule["init_args"]["T_max"] == 5
    assert main(["fit", "--config", "a/config.yaml", "--run", "b"]) == 0
    assert Path("a/config.yaml").read_text() == Path("b/config.yaml").read_text()
    assert main(["validate", "--run", "a"]) == 0
    model = AutoEncoder.load_from_checkpoint("a/checkpoints/best.ckpt")
    assert isinstance(model.lr_schedule, partial)


@pytest.mark.parametrize(
    ("flags", "right"),
    [
        (["--model.lr_schedule", "CosineAnealingLR"], "did you mean CosineAnnealingLR?"),
        (["--model.lr_schedule", "CosineAnnealingLR"], "model.lr_schedule.T_max must be given"),
        (["--model.lr_schedule", "ReduceLROnPlateau"], "lr_schedule.monitor must be given"),
        ([*scheduled("CosineAnnealingLR"), "--model.lr_schedule.T_mx=3"], "did you mean T_max?"),
        (
            [*scheduled("CosineAnnealingLR"), "--model.lr_schedule.T_max=0"],
            "lr_schedule.T_max is 0",
        ),
        ([*scheduled("StepLR"), "--model.lr_schedule.step_size=0"], "lr_schedule.step_size is 0"),
        ([*PLATEAU, "--model.lr_schedule.monitor=val/los"], "did you mean val/loss?"),
        ([*PLATEAU, "--model.lr_schedule.monitor=val/elbo"], "ReduceLROnPlateau is min"),
        (
            [*scheduled("OneCycleLR"), "--model.lr_schedule.total_steps=2"],
            "model.lr_schedule: Tried to step 3 times. The specified number of total steps is 2",
        ),
    ],
)
def test_a_wrong_scheduler_is_one_sentence(
    flags: list[str], right: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, *flags, "--trainer.max_epochs=3"]) == 2
    assert right in one_sentence(capsys.readouterr().err)


def test_a_scheduler_steps_once_an_epoch_and_one_of_steps_once_a_step(tmp_path: Path) -> None:
    counts = {n: trained(tmp_path / n, n)["lr_schedulers"][0] for n in ("StepLR", "OneCycleLR")}
    assert {n: c["last_epoch"] for n, c in counts.items()} == {"StepLR": 3, "OneCycleLR": 3 * EPOCH}


def test_a_plateau_waits_for_the_validations_of_its_metric() -> None:
    flags = ["--model.lr_schedule.monitor=val/loss", "--trainer.check_val_every_n_epoch=2"]
    flags += ["--model.lr_schedule.patience=0", "--model.lr_schedule.threshold=1e9"]
    flags += ["--model.lr_schedule.threshold_mode=abs", "--trainer.max_epochs=5"]
    assert main([*FIT, *PLATEAU, *flags, "--run", "a"]) == 0
    [state] = torch.load(run_directory.states(Path("a"))[0], weights_only=True)["lr_schedulers"]
    assert state["last_epoch"] == 2
    assert state["_last_lr"] == [pytest.approx(3e-4)]


def test_a_plateau_follows_the_metric_that_is_named() -> None:
    plateau = [*PLATEAU, "--model.lr_schedule.monitor=val/rate"]
    assert main([*FIT, *plateau, "--trainer.max_epochs=1", "--run", "a"]) == 0
    schedule = yaml.safe_load(Path("a/config.yaml").read_text())["model"]["init_args"][
        "lr_schedule"
    ]
    assert schedule["init_args"]["monitor"] == "val/rate"


@pytest.mark.parametrize(
    "schedule", [partial(LambdaLR, lr_lambda=float), partial(SequentialLR, schedulers=[LinearLR])]
)
def test_what_a_checkpoint_cannot_record_is_refused(schedule: object) -> None:
    with pytest.raises(UsageError, match=r"VariationalAutoEncoder.lr_schedule.*cannot record"):
        VariationalAutoEncoder((1, 8, 8), lr_schedule=schedule)
