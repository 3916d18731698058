"""The recipe: a preset made in Python trains as the command line trains it."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer, seed_everything

from ae_lightning import systems
from ae_lightning.cli.main import main
from ae_lightning.core.config_files import read, shipped
from ae_lightning.corruptions import GaussianNoise
from ae_lightning.datamodules import Digits
from ae_lightning.nn import MLP
from ae_lightning.regularizers import Rate
from ae_lightning.schedules import Constant, Linear, OneCycle
from ae_lightning.systems import VariationalAutoEncoder
from ae_lightning.training.clock import Timekeeper
from helpers.training import quiet_trainer

BATCHES = 8
CONFIGS = {
    read(name)["model"]["class_path"].rpartition(".")[2]: name
    for name in shipped()
    if "/" not in name and "systems" in read(name).get("model", {}).get("class_path", "")
}


def quiet(**options) -> Trainer:
    off = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    return Trainer(accelerator="cpu", **dict.fromkeys(off, False), limit_val_batches=0, **options)


def test_every_system_has_a_config() -> None:
    assert set(CONFIGS) == {n for n in vars(systems) if n.endswith("AutoEncoder")} - {"AutoEncoder"}


@pytest.mark.parametrize("name", CONFIGS)
def test_python_and_the_command_line_train_a_system_to_equal_weights(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", str(BATCHES)]
    short += ["--trainer.limit_val_batches", "1", "--trainer.accelerator", "cpu", "--run", "run"]
    assert main(["fit", "--config", CONFIGS[name], "--config", "digits", *short]) == 0
    state = max(Path("run/checkpoints").glob("step-*.ckpt"))
    trained = torch.load(state, weights_only=True)["state_dict"]

    seed_everything(0, verbose=False)
    kind = getattr(systems, name)
    data = Digits(batch_size=64, corruption=GaussianNoise(0.3) if kind.needs_corruption else None)
    model = kind(data.shape)
    quiet(max_epochs=1, limit_train_batches=BATCHES).fit(model, data)

    weights = model.state_dict()
    assert weights.keys() == trained.keys()
    assert all(torch.equal(weights[key], trained[key]) for key in weights)


def test_without_a_known_end_the_rate_is_constant_and_the_run_says_so(capsys, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr("ae_lightning.training.clock.rank_zero_info", said.append)
    model = VariationalAutoEncoder((1, 8, 8), latent=2)
    trainer = quiet(max_epochs=-1, max_time="00:00:00:00", limit_train_batches=2)
    trainer.fit(model, Digits())
    assert trainer.optimizers[0].param_groups[0]["lr"] == 3e-3
    assert said == ["the learning rate is constant, since this training has no known end."]


def test_the_default_schedule_is_one_cycle_if_the_end_is_known() -> None:
    timekeeper, trainer = Timekeeper(), quiet(max_steps=7)
    model = VariationalAutoEncoder((1, 8, 8), latent=2)
    trainer.fit(model, Digits())
    timekeeper.begin(trainer, None, [])
    assert isinstance(timekeeper.lr_schedule, OneCycle)
    timekeeper.begin(trainer, Constant(), [])
    assert isinstance(timekeeper.lr_schedule, Constant)


def test_a_linear_autoencoder_made_in_python_is_pca() -> None:
    seed_everything(0, verbose=False)
    data = Digits(batch_size=64)
    model = systems.LinearAutoEncoder(data.shape, latent=8)
    quiet(max_epochs=80).fit(model, data)
    x = data.pairs("train", range(len(data.sets["train"]))).x.flatten(1)
    centred = x - x.mean(0)
    best = torch.linalg.svdvals(centred)[8:].square().sum() / len(x)  # what PCA leaves
    with torch.no_grad():
        left = (model.reconstruct(x.view(-1, *data.shape)).flatten(1) - x).square().sum() / len(x)
    assert left / best < 1.01


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_learning_rate_by_epochs_keeps_in_step_with_a_weight_by_epochs(accumulate) -> None:
    lr, weight = Linear(1, 0, epochs=4), Linear(1, 0, epochs=4)
    model = VariationalAutoEncoder(
        (1, 8, 8), lr_schedule=lr, regularizers={"rate": Rate(weight)}, encoder=MLP([4])
    )
    seen = []

    class Note(Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
            seen.append((optimizer.param_groups[0]["lr"], pl_module.weights()["rate"]))

    options = {"max_epochs": 4, "limit_train_batches": 3, "accumulate_grad_batches": accumulate}
    quiet_trainer(callbacks=[Note()], limit_val_batches=0, **options).fit(model, Digits())
    assert len(seen) == 4 * -(-3 // accumulate)
    assert [rate / 3e-3 for rate, _ in seen] == pytest.approx([w for _, w in seen])
