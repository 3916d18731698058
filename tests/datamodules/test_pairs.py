"""What every DataModule promises: fixed splits, and order and noise determined by their keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as L
import numpy as np
import pytest
import torch
from torch import nn

from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import rebuild
from ae_lightning.core.randomness import seed_of
from ae_lightning.core.types import Pair
from ae_lightning.corruptions import Clean, GaussianNoise, Masking
from ae_lightning.datamodules import (
    Digits,
    ImageFolder,
    Manifold,
    NumpyFile,
    PairDataModule,
    Sprites,
    SwissRoll,
)
from ae_lightning.datamodules.loading.datasets import InMemory
from helpers.images import write_images
from helpers.pairs import everything
from helpers.training import fit

Make = Callable[..., PairDataModule]


@pytest.fixture(params=["Digits", "Manifold", "Sprites", "NumpyFile", "ImageFolder", "workers"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Make a data module of each kind, with some 40 to 1,800 examples."""
    if request.param == "Digits":
        return Digits
    if request.param == "Manifold":
        return lambda **o: Manifold(SwissRoll(), size=100, **o)
    if request.param == "Sprites":
        return lambda **o: Sprites(size=60, **o)
    if request.param == "NumpyFile":
        x = np.random.default_rng(0).integers(0, 256, (100, 1, 6, 6), dtype=np.uint8)
        np.save(tmp_path / "a.npy", x)
        return lambda **o: NumpyFile(str(tmp_path / "a.npy"), **o)
    folder = write_images(tmp_path, {"a": 25, "b": 25})
    here = request.param == "ImageFolder"
    return lambda **o: ImageFolder(folder, in_memory=here, num_workers=1, **o)


def joined(pairs: list[Pair]) -> Pair:
    return Pair(*(torch.cat(parts) for parts in zip(*pairs, strict=True)))


def rows(x: torch.Tensor) -> set[tuple[float, ...]]:
    return {tuple(row) for row in x.flatten(1).tolist()}


class TestEvery:
    def test_shape_and_range_are_known_before_loading_and_right(self, make: Make):
        data = make()
        shape, value_range = data.shape, data.value_range
        assert not data.sets
        for split in ("train", "val", "test"):
            x = everything(data, split).x
            assert (x.shape[1:], x.dtype) == (shape, torch.float32)
            if value_range is not None:
                assert value_range[0] <= x.min() <= x.max() <= value_range[1]

    def test_splits_are_disjoint(self, make: Make):
        data = make()
        train, val, test = (rows(everything(data, s).x) for s in ("train", "val", "test"))
        assert min(len(train), len(val), len(test)) > 0
        assert not (train & val) | (train & test) | (val & test)

    def test_splits_depend_on_the_split_seed_alone(self, make: Make):
        one, same, other = make(), make(seed=9, batch_size=7), make(split_seed=9)
        for split in ("train", "val"):
            x = everything(one, split).x
            assert torch.equal(x, everything(same, split).x)
            assert not torch.equal(x, everything(other, split).x)

    def test_the_size_of_the_validation_set_is_given(self, make: Make):
        assert len(everything(make(val_size=6), "val").x) == 6

    def test_evaluation_is_the_same_pairs_at_any_batch_size(self, make: Make):
        for split in ("val", "test"):
            pairs = [make(batch_size=b, corruption=GaussianNoise()) for b in (3, 1000)]
            one, other = (joined(list(getattr(d, f"{split}_dataloader")())) for d in pairs)
            fixed = everything(pairs[0], split)
            for a, b, c in zip(one, other, fixed, strict=True):
                assert torch.equal(a, b)
                assert torch.equal(a, c)
            assert one.places.tolist() == list(range(len(one.x)))

    def test_evaluation_noise_depends_on_the_split_seed_alone(self, make: Make):
        noise = GaussianNoise()

        def drawn(**options: int) -> torch.Tensor:
            pair = make(corruption=noise, **options).pairs("val", [0])
            return pair.x_tilde - pair.x

        assert torch.equal(drawn(), drawn(seed=5))
        assert not torch.allclose(drawn(), drawn(split_seed=5))

    def test_training_is_a_function_of_the_seed(self, make: Make):
        def epoch(**options: int) -> Pair:
            data = make(batch_size=8, corruption=GaussianNoise(), **options)
            return joined(list(data.train_dataloader()))

        one, same, other = epoch(), epoch(), epoch(seed=1)
        assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
        assert not torch.equal(one.places, other.places)

    def test_an_epoch_draws_each_example_once_but_for_the_last_few(self, make: Make):
        data = make(batch_size=8)
        pairs = list(data.train_dataloader())
        assert len(pairs) == len(data.train_dataloader()) == len(data.sets["train"]) // 8
        drawn = joined(pairs).places
        assert len(set(drawn.tolist())) == len(drawn) == 8 * len(pairs)
        fixed = data.pairs("train", drawn.tolist())
        assert torch.equal(joined(pairs).x, fixed.x)
        assert torch.equal(joined(pairs).y, fixed.y)

    def test_clean_pairs_are_one_tensor(self, make: Make):
        data = make()
        for pair in (next(iter(data.train_dataloader())), data.pairs("val", [0])):
            assert pair.x_tilde is pair.x

    def test_is_rebuilt_from_its_record(self, make: Make):
        data = make(corruption=Masking(0.4), batch_size=5, split_seed=3)
        again = rebuild(data.hparams)
        assert again.record == data.record
        for one, other in zip(data.pairs("test", [1, 0]), again.pairs("test", [1, 0]), strict=True):
            assert torch.equal(one, other)

    def test_prediction_is_on_the_test_set(self, make: Make):
        data = make()
        assert torch.equal(joined(list(data.predict_dataloader())).x, everything(data, "test").x)


class Watch(L.LightningModule):
    """Keep every pair that training and validation see."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.trained: list[list[Pair]] = []
        self.validated: list[list[Pair]] = []

    def on_train_epoch_start(self) -> None:
        self.trained.append([])

    def on_validation_epoch_start(self) -> None:
        self.validated.append([])

    def training_step(self, pair: Pair, batch_idx: int) -> torch.Tensor:
        self.trained[-1].append(pair)
        return self.layer(pair.x_tilde.mean().view(1, 1)).sum()

    def validation_step(self, pair: Pair, batch_idx: int) -> None:
        self.validated[-1].append(pair)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)


def watched(data: PairDataModule, **options: object) -> Watch:
    module = Watch()
    fit(module, data, **{"max_epochs": 3, "num_sanity_val_steps": 0, **options})
    return module


def test_the_order_is_fresh_in_each_epoch_and_evaluation_is_fixed():
    module = watched(Digits(corruption=GaussianNoise(0.3)))
    first, second, _ = (joined(pairs).places for pairs in module.trained)
    assert not torch.equal(first, second)
    one, other, _ = (joined(pairs) for pairs in module.validated)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_training_noise_is_fresh_at_every_draw_and_not_that_of_the_model():
    module = watched(Digits(corruption=GaussianNoise(1.0)))
    noise = [pair.x_tilde - pair.x for pairs in module.trained for pair in pairs]
    first = torch.stack(noise)[:, 0]  # of each batch in each epoch
    torch.manual_seed(seed_of(0, 0, 0, 0))
    of_the_model = torch.randn(noise[0].shape)[:1]
    correlation = torch.corrcoef(torch.cat([first, of_the_model]).flatten(1))
    assert (correlation - torch.eye(len(correlation))).abs().max() < 0.8
    assert len(first) > 20


def test_a_model_in_double_precision_is_given_doubles():
    module = watched(Digits(), precision="64-true")
    pair = module.trained[0][0]
    assert pair.x.dtype == torch.float64
    assert pair.x_tilde is pair.x


@pytest.mark.parametrize("corruption", [None, Clean()])
def test_a_clean_pair_stays_one_tensor_through_the_trainer(corruption):
    pair = watched(Digits(corruption=corruption)).trained[0][0]
    assert pair.x_tilde is pair.x


def test_a_checkpoint_rebuilds_its_data(tmp_path):
    data = Digits(corruption=Masking(0.2), batch_size=50)
    trainer = fit(Watch(), data, tmp_path, max_steps=1)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert rebuild(checkpoint["datamodule_hyper_parameters"]).record == data.record


# ------------------------------------------------------------------------------------- GPU


def test_a_set_larger_than_half_of_the_gpu_stays_where_it_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (19, 1000))
    examples = InMemory(torch.zeros(10, dtype=torch.uint8), torch.zeros(10))
    assert examples.near(torch.device("cuda")) is examples


@pytest.mark.gpu
@pytest.mark.parametrize("fits", [True, False])
def test_a_gpu_gets_the_pairs_that_a_cpu_gets(fits, monkeypatch):
    if not fits:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 1000))

    def data() -> Digits:
        return Digits(corruption=Masking(0.3))

    there, here = data(), data()
    module = watched(there, accelerator="gpu", devices=1)
    assert there.sets["train"].x.is_cuda == fits
    expected = watched(here)
    for one, other in zip(module.validated[0], expected.validated[0], strict=True):
        assert one.x.is_cuda
        assert all(torch.equal(a.cpu(), b) for a, b in zip(one, other, strict=True))
    for one, other in zip(module.trained[1], expected.trained[1], strict=True):
        assert torch.equal(one.places.cpu(), other.places)
        assert torch.equal(one.x.cpu(), other.x)
        dropped = (one.x_tilde != one.x).sum() / (one.x != 0).sum()
        assert abs(dropped.item() - 0.3) < 0.05
    assert all(
        torch.equal(a, b)
        for a, b in zip(there.pairs("val", [3]), here.pairs("val", [3]), strict=True)
    )


# ----------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Digits(batch_size=0), "batch_size is 0: expected at least 1."),
        (lambda: Digits(val_size=0), "val_size is 0: expected a number above 0."),
        (lambda: Digits(seed=-1), "seed is -1: expected at least 0."),
        (lambda: Digits(split_seed=-1), "split_seed is -1: expected at least 0."),
        (
            lambda: Digits(val_size=1500).setup(),
            "val_size is 1500: expected fewer than the 1500 training examples.",
        ),
        (
            lambda: Digits().pairs("valid", [0]),
            "there is no split 'valid': did you mean val?",
        ),
        (lambda: Digits().pairs("test", [0, 297]), "test has the places 0 to 296, not 297."),
        (lambda: Digits().pairs("test", [-1]), "test has the places 0 to 296, not -1."),
    ],
)
def test_errors_name_the_value_and_what_was_expected(make, sentence):
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == sentence
