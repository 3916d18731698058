"""A resumed run sees the very batches, and the very noise, that an uninterrupted one sees."""

from __future__ import annotations

import pytest

from ae_lightning.corruptions import GaussianNoise
from ae_lightning.datamodules import ImageFolder, Manifold
from helpers.images import write_images
from helpers.seen import BATCHES, EPOCHS, KilledAfter, examples, seen_of


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
    whole = seen_of(toys(), **options)
    path = tmp_path / "killed.ckpt"
    before = seen_of(toys(), KilledAfter(hook, batches, path), **options)
    after = seen_of(toys(), resume=path, **options)
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

    whole = seen_of(data())
    path = tmp_path / "killed.ckpt"
    before = seen_of(data(), KilledAfter("on_train_batch_end", batches, path))
    assert len(whole) == EPOCHS * BATCHES
    assert before + seen_of(data(), resume=path) == whole


def test_an_epoch_cut_short_leaves_the_next_one_whole():
    whole, cut = seen_of(toys()), seen_of(toys(), limit_train_batches=2)
    assert cut == [seen for i, seen in enumerate(whole) if i % BATCHES < 2]


def test_overfitting_some_batches_sees_the_same_ones_in_every_epoch():
    places = [index for _, index, _ in seen_of(toys(), overfit_batches=2)]
    assert places[:2] == places[2:4] == places[4:]
    assert places[0] != places[1]


def test_training_without_a_trainer_starts_at_the_beginning():
    data = toys()
    seen = seen_of(data)
    assert [pair.places.tolist() for pair in data.train_dataloader()] == [
        s[1] for s in seen[:BATCHES]
    ]


# ------------------------------------------------------------- on other processes than before


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

    order = examples(seen_of(data(1)))
    per_epoch = 40 // before
    batches = max(1, round(share * per_epoch))
    path = tmp_path / "killed.ckpt"
    seen = seen_of(data(before), KilledAfter(hook, batches, path))
    seen += seen_of(data(after), resume=path)
    found = examples(seen)
    assert found.keys() == order.keys()
    for epoch, places in order.items():
        # What does not fill a last batch is left out, as ever.
        assert len(found[epoch]) > 40 - max(before, after)
        assert found[epoch] == places[: len(found[epoch])]


def test_two_changes_of_the_batch_within_an_epoch_leave_no_example_out(tmp_path):
    def data(batch_size: int) -> Manifold:
        return Manifold(size=60, val_size=10, batch_size=batch_size)

    order = examples(seen_of(data(1)))
    paths = [tmp_path / "one.ckpt", tmp_path / "two.ckpt"]
    seen = seen_of(data(8), KilledAfter("on_train_batch_end", 2, paths[0]))
    seen += seen_of(data(5), KilledAfter("on_train_batch_end", 3, paths[1]), resume=paths[0])
    seen += seen_of(data(3), resume=paths[1])
    assert examples(seen)[0] == order[0][: 16 + 15 + 9]
