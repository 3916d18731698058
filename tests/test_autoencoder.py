"""How the one autoencoder trains, logs and evaluates."""

from functools import partial

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.likelihoods import Bernoulli, ContinuousBernoulli, Gaussian
from ae_lightning.nn import MLP
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from ae_lightning.regularizers.divergences import Rate
from ae_lightning.schedules import Cosine, Linear, OneCycle
from helpers.training import fit, loader, quiet_trainer


def vae(weight=1.0, latent=3, **others) -> AutoEncoder:
    return AutoEncoder(
        (1, 4, 4),
        latent,
        MLP([8], dropout=0.2),
        DiagonalGaussian(),
        MLP([8]),
        Bernoulli(),
        regularizers={"rate": Rate(weight)},
        **others,
    )


def batches(sizes=(6, 6, 6)) -> list[Pair]:
    generator, start, made = torch.Generator().manual_seed(7), 0, []
    x = torch.rand(sum(sizes), 1, 4, 4, generator=generator)
    for size in sizes:
        index = torch.arange(start, start + size)
        made.append(Pair(x[index], x[index], index.float(), index))
        start += size
    return made


class Record(Callback):
    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer, model, *_) -> None:
        rates = {"lr": trainer.optimizers[0].param_groups[0]["lr"]}
        self.steps.append({k: float(v) for k, v in trainer.callback_metrics.items()} | rates)


def train(model, folder, epochs=2, data=None, **options) -> tuple[Trainer, Record]:
    record, validation = Record(), batches((10, 8))
    options = {"max_epochs": epochs, "callbacks": [record], **options}
    return fit(model, data or batches(), folder, validation=validation, **options), record


def test_training_noise_is_a_function_of_the_seed_and_the_step(tmp_path) -> None:
    weights = []
    for seed in (0, 0, 1):
        torch.manual_seed(0)
        model = vae(seed=seed)
        torch.rand(seed + 5)  # whatever was drawn before leaves no trace
        train(model, tmp_path)
        weights.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


def test_evaluation_is_the_same_at_any_batch_size(tmp_path) -> None:
    model, figures = vae(), []
    trainer = quiet_trainer(tmp_path)
    for sizes in ((18,), (5, 5, 5, 3), (1,) * 18):
        [values] = trainer.validate(model, loader(batches(sizes)), verbose=False)
        figures.append(values)
    for other in figures[1:]:
        assert other == pytest.approx(figures[0], rel=1e-4)


def test_weights_follow_their_schedules_and_are_logged(tmp_path) -> None:
    _, record = train(vae(Linear(0, 1)), tmp_path)
    weights = [step["train/rate_weight"] for step in record.steps]
    assert weights == pytest.approx([i / 6 for i in range(6)])
    for step in record.steps:
        total = step["train/distortion"] + step["train/rate_weight"] * step["train/rate"]
        assert step["train/loss"] == pytest.approx(total, rel=1e-5)


def test_a_schedule_by_epochs_changes_once_an_epoch(tmp_path) -> None:
    _, record = train(vae(Linear(0, 4, epochs=4)), tmp_path, epochs=3)
    weights = [step["train/rate_weight"] for step in record.steps]
    assert weights == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_learning_rates_follow_their_schedule_over_the_whole_training(tmp_path) -> None:
    model = vae(optimizer=partial(torch.optim.SGD, lr=0.1), lr_schedule=Cosine(1, 0))
    _, record = train(model, tmp_path)
    schedule = Cosine(0.1, 0)
    # Lightning steps the schedule before the batch's end, so the next step's rate is seen.
    assert [s["lr"] for s in record.steps] == pytest.approx(
        [schedule.value(i / 6) for i in range(1, 7)]
    )


def test_a_schedule_over_endless_training_is_refused(tmp_path) -> None:
    with pytest.raises(UsageError, match="max_epochs"):
        train(vae(lr_schedule=OneCycle()), tmp_path, epochs=-1, max_time="00:00:01:00")


def test_weight_0_is_watched_without_a_trace(tmp_path) -> None:
    weights = []
    for regularizers in ({}, {"rate": Rate(0.0)}):
        torch.manual_seed(0)
        model = AutoEncoder(
            (1, 4, 4),
            3,
            MLP([8]),
            DiagonalGaussian(),
            MLP([8]),
            Bernoulli(),
            regularizers=regularizers,
        )
        trainer, _ = train(model, tmp_path)
        weights.append(torch.cat([p.flatten() for p in model.parameters()]))
    assert weights[0].equal(weights[1])
    assert trainer.callback_metrics["train/rate"] > 0


@pytest.mark.parametrize("likelihood", [Gaussian, Bernoulli, ContinuousBernoulli])
def test_it_starts_with_the_data_mean_as_reconstruction(likelihood) -> None:
    model, x = AutoEncoder((2, 4), 3, MLP([]), Dirac(), MLP([]), likelihood()), torch.rand(9, 2, 4)
    model.start(x)
    assert torch.allclose(model.decode(torch.zeros(1, 3)).mean[0], x.mean(0), atol=1e-5)


def test_it_starts_at_the_data_mean_once(tmp_path) -> None:
    model = AutoEncoder((1, 4, 4), 3, MLP([]), Dirac(), MLP([]), Gaussian())
    data = batches((18,))
    train(model, tmp_path, epochs=1, data=data, max_steps=1)
    mean = data[0].x.mean(0).flatten()
    assert model.encoder.mean.equal(mean)
    model.encoder.mean.zero_()
    train(model, tmp_path, epochs=1, data=data, max_steps=1)
    assert not model.encoder.mean.any()  # a model that has been trained is not started again


def test_a_checkpoint_holds_plain_values_and_the_clock(tmp_path) -> None:
    model = vae(Linear(0, 1))
    trainer, _ = train(model, tmp_path)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    torch.load(tmp_path / "x.ckpt", weights_only=True)
    again = AutoEncoder.load_from_checkpoint(tmp_path / "x.ckpt")
    assert again.clock == model.clock
    assert again.weights() == model.weights()
    changed = AutoEncoder.load_from_checkpoint(tmp_path / "x.ckpt", samples=9)
    assert changed.samples == 9


def test_a_foreign_checkpoint_is_named(tmp_path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "y.ckpt")
    with pytest.raises(UsageError, match=r"y\.ckpt is not a checkpoint of an autoencoder"):
        AutoEncoder.load_from_checkpoint(tmp_path / "y.ckpt")


def test_batches_that_are_no_pairs_are_named(tmp_path) -> None:
    with pytest.raises(UsageError, match="Pair"):
        train(vae(), tmp_path, data=[torch.rand(6, 1, 4, 4)])


def test_a_shape_that_is_not_the_models_is_named(tmp_path) -> None:
    x = torch.rand(6, 1, 5, 5)
    with pytest.raises(UsageError, match=r"\(1, 4, 4\).*\(1, 5, 5\)"):
        train(vae(), tmp_path, data=[Pair(x, x, x[:, 0, 0, 0], torch.arange(6))])


def test_batches_may_run_before_training_to_find_the_largest_size(tmp_path) -> None:
    from lightning.pytorch.callbacks import BatchSizeFinder

    from ae_lightning.datamodules import Manifold

    data = Manifold(size=200, val_size=20, batch_size=4)
    model = AutoEncoder((2,), 1, MLP([4]), Dirac(), MLP([4]), Gaussian(), value_range=None)
    finder = BatchSizeFinder(steps_per_trial=1, max_trials=2, init_val=8)
    trainer = fit(model, data, tmp_path, max_steps=3, callbacks=[finder])
    assert data.batch_size == 16  # what the second trial has tried
    assert trainer.global_step == 3
