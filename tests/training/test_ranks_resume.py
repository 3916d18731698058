"""A run that goes on with another global batch keeps its place in schedules, and says so."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback

from ae_lightning import VariationalAutoEncoder
from ae_lightning.datamodules import Manifold
from ae_lightning.likelihoods import Gaussian
from ae_lightning.nn import MLP
from ae_lightning.regularizers import Rate
from ae_lightning.schedules import Linear
from helpers.training import fit

EPOCHS = 4


class Weights(Callback):
    """Note the penalty's weight by the share of the training that is done, and save once."""

    def __init__(self, save_at: tuple[int, int] | None, path: Path) -> None:
        self.save_at, self.path, self.seen = save_at, path, dict[float, float]()

    def on_train_batch_end(
        self, trainer: Trainer, model: VariationalAutoEncoder, *_: object
    ) -> None:
        batch = _[-1]
        share = (trainer.current_epoch + batch / trainer.num_training_batches) / EPOCHS
        self.seen[share] = model.weights()["rate"]
        if (trainer.current_epoch, batch) == self.save_at:
            trainer.save_checkpoint(self.path)


def weights_of(
    batch_size: int,
    path: Path,
    save_at: tuple[int, int] | None = None,
    resume: bool = False,
    **options: object,
) -> dict[float, float]:
    network = MLP(widths=(4,)), MLP(widths=(4,))
    model = VariationalAutoEncoder(
        (2,), 1, *network, Gaussian(), {"rate": Rate(Linear(0, 1))}, value_range=None
    )
    weights = Weights(save_at, path)
    data = Manifold(size=100, val_size=10, batch_size=batch_size)
    limits = {"max_epochs": EPOCHS, "limit_val_batches": 0, **options}
    fit(model, data, resume=path if resume else None, callbacks=[weights], **limits)
    return weights.seen


@pytest.mark.parametrize(("before", "after"), [(8, 16), (16, 8), (8, 20), (8, 8)])
@pytest.mark.parametrize("save_at", [(0, 4), (1, 1), (2, 2)])
def test_a_schedule_over_the_training_is_where_it_would_be(tmp_path, save_at, before, after):
    path = tmp_path / "a.ckpt"
    weights_of(before, path, save_at)
    for share, weight in weights_of(after, path, resume=True).items():
        assert weight == pytest.approx(share, abs=1 / (EPOCHS * (80 // after)))


def test_with_max_steps_a_schedule_counts_steps(tmp_path):
    path = tmp_path / "a.ckpt"
    limit = {"max_epochs": -1, "max_steps": 20}
    weights_of(8, path, (0, 4), **limit)
    weights = list(weights_of(16, path, resume=True, **limit).values())
    assert weights == pytest.approx([step / 20 for step in range(5, 20)])


def test_it_says_what_changed(tmp_path, caplog):
    path = tmp_path / "a.ckpt"
    weights_of(8, path, (0, 4))
    with caplog.at_level(logging.INFO, "lightning.pytorch.utilities.rank_zero"):
        weights_of(8, path, resume=True)
        assert "from here on" not in caplog.text
        weights_of(16, path, resume=True)
    assert "1 process with 16 examples a step from here on, after 1 process with 8" in caplog.text


def test_it_says_that_a_schedule_spans_another_training(tmp_path, caplog):
    path = tmp_path / "a.ckpt"
    weights_of(8, path, (0, 4))
    with caplog.at_level(logging.INFO, "lightning.pytorch.utilities.rank_zero"):
        weights_of(8, path, resume=True)
        assert "spans" not in caplog.text
        weights_of(8, path, resume=True, max_epochs=2 * EPOCHS)
    assert "now spans 80 steps instead of 40" in caplog.text
