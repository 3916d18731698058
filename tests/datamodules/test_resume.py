"""A resumed run sees the very batches, and the very noise, that an uninterrupted one sees."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from ae_lightning.core.types import Pair
from ae_lightning.corruptions import GaussianNoise
from ae_lightning.datamodules import ImageFolder, Manifold, PairDataModule
from tests.datamodules.test_files import write_images

Seen = list[tuple[int, list[int], float]]  # epoch, places, and the sum of x̃
EPOCHS, BATCHES = 3, 5


class Recorder(L.LightningModule):
    """Record every training batch, and learn something, so that there are steps to count."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.seen: Seen = []

    def training_step(self, pair: Pair, batch_idx: int) -> Tensor:
        self.seen.append((self.current_epoch, pair.places.tolist(), float(pair.x_tilde.sum())))
        return self.layer(pair.x_tilde.mean().view(1, 1)).sum()

    def validation_step(self, pair: Pair, batch_idx: int) -> None:
        pass

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3)


class Killed(Exception):
    pass


class KilledAfter(Callback):
    """Save a checkpoint in a hook once `batches` are seen, and die at the next batch."""

    def __init__(self, hook: str, batches: int, path: Path) -> None:
        self.batches, self.path, self.saved = batches, path, False
        setattr(self, hook, self._save)

    def _save(self, trainer: L.Trainer, module: Recorder, *_: object) -> None:
        if len(module.seen) == self.batches and not self.saved:
            trainer.save_checkpoint(self.path)
            self.saved = True

    def on_train_batch_start(self, trainer: L.Trainer, *_: object) -> None:
        if self.saved:
            raise Killed


def fit(
    data: PairDataModule, *callbacks: Callback, resume: Path | None = None, **options: object
) -> Seen:
    module = Recorder()
    trainer = L.Trainer(
        **{"max_epochs": EPOCHS, **options},
        callbacks=list(callbacks),
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    try:
        trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    except Killed:
        assert callbacks
    return module.seen


def toys() -> Manifold:
    return Manifold(size=60, val_size=10, batch_size=8, corruption=GaussianNoise())


@pytest.mark.parametrize(
    "options", [{}, {"accumulate_grad_batches": 2}, {"max_steps": 13, "max_epochs": -1}]
)
@pytest.mark.parametrize(
    ("hook", "batches"),
    [
        ("on_train_batch_end", 1),
        ("on_train_batch_end", 7),  # in the middle of an epoch
        ("on_train_batch_end", 2 * BATCHES),  # on the last batch of one
        ("on_validation_end", BATCHES),
        ("on_train_epoch_end", BATCHES),
        ("on_train_epoch_end", 2 * BATCHES),
    ],
)
def test_a_resumed_run_sees_what_an_uninterrupted_one_sees(tmp_path, hook, batches, options):
    whole = fit(toys(), **options)
    path = tmp_path / "killed.ckpt"
    before = fit(toys(), KilledAfter(hook, batches, path), **options)
    after = fit(toys(), resume=path, **options)
    assert len(whole) == (13 if "max_steps" in options else EPOCHS * BATCHES)
    assert before == whole[: len(before)]
    assert len(before) == batches
    assert after == whole[batches:]


@pytest.mark.parametrize("batches", [1, 7, 2 * BATCHES])
def test_workers_that_read_ahead_leave_no_batch_out(tmp_path, batches):
    folder = write_images(tmp_path / "images", {"": 28})

    def data() -> ImageFolder:
        noise = GaussianNoise()
        return ImageFolder(folder, in_memory=False, batch_size=4, val_size=4, corruption=noise)

    whole = fit(data())
    path = tmp_path / "killed.ckpt"
    before = fit(data(), KilledAfter("on_train_batch_end", batches, path))
    assert len(whole) == EPOCHS * BATCHES
    assert before + fit(data(), resume=path) == whole


def test_an_epoch_cut_short_leaves_the_next_one_whole():
    whole, cut = fit(toys()), fit(toys(), limit_train_batches=2)
    assert cut == [seen for i, seen in enumerate(whole) if i % BATCHES < 2]


def test_overfitting_some_batches_sees_the_same_ones_in_every_epoch():
    places = [index for _, index, _ in fit(toys(), overfit_batches=2)]
    assert places[:2] == places[2:4] == places[4:]
    assert places[0] != places[1]


def test_training_without_a_trainer_starts_at_the_beginning():
    data = toys()
    seen = fit(data)
    assert [pair.places.tolist() for pair in data.train_dataloader()] == [
        s[1] for s in seen[:BATCHES]
    ]


# ------------------------------------------------------------- on other processes than before


def examples(seen: Seen) -> dict[int, list[int]]:
    """The examples of each epoch, in the order they were seen."""
    found: dict[int, list[int]] = {}
    for epoch, places, _ in seen:
        found[epoch] = found.get(epoch, []) + places
    return found


@pytest.mark.parametrize(("before", "after"), [(8, 12), (12, 8), (8, 40), (40, 8), (8, 8)])
@pytest.mark.parametrize(
    ("hook", "share"),
    [("on_train_batch_end", 0.3), ("on_train_batch_end", 1.4), ("on_validation_end", 1)],
)
def test_a_run_goes_on_with_batches_of_another_size_at_the_next_example(
    tmp_path, hook, share, before, after
):
    def data(batch_size: int) -> Manifold:
        return Manifold(size=60, val_size=10, batch_size=batch_size)

    order = examples(fit(data(1)))
    per_epoch = 40 // before
    batches = max(1, round(share * per_epoch))
    path = tmp_path / "killed.ckpt"
    seen = fit(data(before), KilledAfter(hook, batches, path))
    seen += fit(data(after), resume=path)
    found = examples(seen)
    assert found.keys() == order.keys()
    for epoch, places in order.items():
        # What does not fill a last batch is left out, as ever.
        assert len(found[epoch]) > 40 - max(before, after)
        assert found[epoch] == places[: len(found[epoch])]


def test_two_changes_of_the_batch_within_an_epoch_leave_no_example_out(tmp_path):
    def data(batch_size: int) -> Manifold:
        return Manifold(size=60, val_size=10, batch_size=batch_size)

    order = examples(fit(data(1)))
    paths = [tmp_path / "one.ckpt", tmp_path / "two.ckpt"]
    seen = fit(data(8), KilledAfter("on_train_batch_end", 2, paths[0]))
    seen += fit(data(5), KilledAfter("on_train_batch_end", 3, paths[1]), resume=paths[0])
    seen += fit(data(3), resume=paths[1])
    assert examples(seen)[0] == order[0][: 16 + 15 + 9]
