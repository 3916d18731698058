"""Callbacks: drawn when due, of fixed examples, without a trace."""

import random
import re
import warnings

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader

from ae_lightning import systems
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.callbacks import (
    Codes,
    LatentTraversal,
    PriorSamples,
    Reconstructions,
    Report,
    ScoreField,
    observing,
)
from ae_lightning.callbacks.drawing.examples import choose
from ae_lightning.callbacks.drawing.theme import house_style
from ae_lightning.callbacks.report.choosing import known_pictures
from ae_lightning.core.errors import UsageError
from ae_lightning.datamodules import Digits
from ae_lightning.nn import MLP
from helpers.noting import Noting, steps, trained, vae

# ------------------------------------------------------------------------------ when


@pytest.mark.parametrize(
    ("cadence", "expected"),
    [
        ({}, [15]),
        ({"every_n_epochs": 2}, [6, 12, 15]),
        ({"every_n_steps": 4}, [4, 8, 12, 15]),
    ],
)
def test_a_picture_is_drawn_when_due_and_at_the_end(cadence, expected, tmp_path) -> None:
    picture = Noting(**cadence)
    trained(tmp_path, picture, max_epochs=5)  # of 3 steps each
    assert steps(tmp_path, "noting") == expected
    assert len(picture.seen) == len(expected)


def test_with_gradients_accumulated_a_step_is_drawn_once(tmp_path) -> None:
    picture = Noting(every_n_steps=1)
    trained(tmp_path, picture, max_epochs=2, accumulate_grad_batches=3)
    assert steps(tmp_path, "noting") == [1, 2]
    assert len(picture.seen) == 2


def test_a_picture_of_an_earlier_run_is_drawn_anew(tmp_path) -> None:
    for _ in range(2):
        trained(tmp_path, picture := Noting())
        assert len(picture.seen) == 1


def test_a_fast_dev_run_draws_nothing(tmp_path) -> None:
    trained(tmp_path, Noting(every_n_steps=1), Report(), fast_dev_run=True)
    assert not list(tmp_path.iterdir())


class Rank(Callback):
    """Make the process another than the first, from the start of training on."""

    def on_train_start(self, trainer, pl_module) -> None:
        rank_zero_only.rank = 1


def test_only_the_first_process_draws(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 0)  # put back at the end
    trained(tmp_path, Rank(), picture := Noting(every_n_epochs=1), Report(names=["codes"]))
    assert picture.seen == []
    assert not list(tmp_path.iterdir())


# -------------------------------------------------------------------------- of what


def test_examples_are_validation_examples_chosen_once_by_seed(tmp_path) -> None:
    trained(tmp_path, picture := Noting(every_n_epochs=1, items=7))
    first, second = picture.seen
    assert len(first.x) == 7
    assert all(a.equal(b) for a, b in zip(first, second, strict=True))
    data = Digits()
    assert first.x.equal(data.pairs("val", first.places.tolist()).x)
    assert choose(data, 7, seed=0).places.equal(first.places)
    assert not choose(data, 7, seed=1).places.equal(first.places)


def test_without_a_datamodule_they_are_the_loaders_first(tmp_path) -> None:
    pairs = [Digits().pairs("train", range(start, start + 4)) for start in (0, 4)]
    loader = DataLoader(pairs, batch_size=None)
    trained(tmp_path, picture := Noting(items=6), loader=(loader, loader))
    assert picture.seen[0].places.tolist() == [0, 1, 2, 3, 4, 5]


def test_without_validation_pairs_there_is_no_picture(tmp_path) -> None:
    with pytest.raises(UsageError, match="needs validation pairs"):
        choose(None, 3)


# ------------------------------------------------------------------- without a trace


def states() -> tuple:
    numpy = np.random.get_state()[1].tolist()  # noqa: NPY002
    return torch.get_rng_state().tolist(), numpy, random.getstate()


def draw_and_fail(model: AutoEncoder, drawn: list) -> None:
    with observing(model):
        drawn.append((torch.rand(1), np.random.rand(), random.random()))  # noqa: NPY002
        assert not any(m.training for m in model.modules())
        assert not torch.is_grad_enabled()
        raise KeyError


def test_observing_leaves_modes_and_random_states_as_they_were() -> None:
    model = vae().train()
    model.encoder.eval()
    modes = [m.training for m in model.modules()]
    before, drawn = states(), []
    for _ in range(2):
        with pytest.raises(KeyError):
            draw_and_fail(model, drawn)
        assert [m.training for m in model.modules()] == modes
        assert states() == before
    assert drawn[0][0].equal(drawn[1][0])


@pytest.mark.parametrize("system", ["VariationalAutoEncoder", "SparseAutoEncoder"])
def test_training_with_pictures_gives_the_same_weights_to_the_bit(system, tmp_path) -> None:
    weights = []
    for callbacks in ([], [Report(every_n_epochs=1), LatentTraversal(every_n_steps=2)]):
        torch.manual_seed(0)
        model = getattr(systems, system)((1, 8, 8), 6, MLP([16], dropout=0.3), MLP([16]))
        weights.append(trained(tmp_path, *callbacks, model=model).state_dict())
    assert steps(tmp_path, "latent_traversal") == [2, 4, 6]
    assert all(a.equal(b) for a, b in zip(*(w.values() for w in weights), strict=True))


def test_pictures_follow_no_settings_of_the_user_and_change_none() -> None:
    import matplotlib as mpl

    with mpl.rc_context({"axes.facecolor": "red", "font.size": 30}):
        figure = Reconstructions(items=3).picture(vae(), Digits())
        assert mpl.rcParams["font.size"] == 30
    axes = figure.axes[0]
    assert axes.get_facecolor() == (1, 1, 1, 1)
    with house_style():
        size = mpl.rcParams["axes.titlesize"]
    assert axes.title.get_fontsize() == size


# --------------------------------------------------------------------- what goes wrong


def test_a_failing_picture_warns_once_and_stops_nothing(tmp_path) -> None:
    with pytest.warns(UserWarning, match="the picture noting is skipped: no ink") as caught:
        trained(tmp_path, Noting(every_n_epochs=1, fails=True), other := Codes(items=20))
    assert sum("noting" in str(w.message) for w in caught) == 1
    assert steps(tmp_path, other.name)


def test_what_is_not_finite_is_said_not_drawn() -> None:
    model = vae()
    with torch.no_grad():
        model.decoder.layers[-1].bias[3] = torch.nan
    with pytest.raises(UsageError, match="not finite"):
        Reconstructions().picture(model, Digits())


def test_a_picture_that_does_not_suit_is_refused_before_training(tmp_path) -> None:
    model = systems.LinearAutoEncoder((1, 8, 8), latent=3)
    with pytest.raises(UsageError, match="held to the prior"):
        trained(tmp_path, PriorSamples(), model=model)
    with pytest.raises(UsageError, match="there is no dimension 3: the code has 0 to 2"):
        trained(tmp_path, LatentTraversal(dims=[0, 3]), model=model)
    with pytest.raises(UsageError):
        trained(tmp_path, ScoreField(), model=model)
    with pytest.raises(UsageError, match="held to the prior"):
        trained(tmp_path, Report(names=["prior_samples"]), model=model)
    assert model.global_step == 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Reconstructions(items=0), "items is 0"),
        (lambda: Reconstructions(every_n_epochs=-1), "every_n_epochs -1"),
        (lambda: LatentTraversal(start=500), "start is 500: expected an example from 0 to 499"),
        (lambda: Report(names=["codez"]), "there is no picture codez: did you mean codes"),
    ],
)
def test_a_wrong_argument_is_one_sentence(make, said) -> None:
    with pytest.raises(UsageError, match=said):
        make()


# ---------------------------------------------------------------------- as they are made


@pytest.mark.parametrize("kind", known_pictures().values(), ids=known_pictures())
def test_every_picture_is_made_from_yaml_and_says_how_to_read_it(kind) -> None:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--callback", type=Callback)
    tree = {
        "class_path": f"ae_lightning.callbacks.{kind.__name__}",
        "init_args": {"every_n_epochs": 2, "items": 5, "seed": 3, "every_n_steps": 7},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = parser.instantiate_classes(parser.parse_object({"callback": tree})).callback
    assert type(made) is kind
    cadence = made.every_n_epochs, made.items, made.seed, made.every_n_steps
    assert cadence == (2, 5, 3, 7)
    for caption in (kind.caption, kind.caption_of_vectors or kind.caption):
        assert 40 < len(caption) < 500
        assert caption.endswith(".")


@pytest.mark.parametrize("kind", known_pictures().values(), ids=known_pictures())
def test_a_caption_of_vectors_speaks_of_no_images(kind) -> None:
    if kind.name != "filters":  # which vectors have not
        said = kind.caption_of_vectors or kind.caption
        said = said.replace("the framed image (of vectors", "")  # which names both
        assert not re.search("stroke|image|pixel|red ", said), said
