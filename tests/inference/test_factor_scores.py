"""Scores of disentanglement on codes whose relation to the factors is known."""

import numpy as np
import pytest
import torch

from ae_lightning.core.errors import UsageError
from ae_lightning.datamodules import Sprites
from ae_lightning.inference.inputs import Inputs
from ae_lightning.inference.measures.disentanglement import disentanglement
from ae_lightning.inference.measures.factor_scores import (
    SCORES,
    dci,
    discrete,
    entropy,
    factor_vae,
    mig,
    modularity,
    sap,
)
from helpers.measured import by_name, inputs_of, trained_of
from helpers.models import model_of

rng = np.random.default_rng(0)
V = rng.random((2000, 4))  # factors, uniform and independent
ROTATION = np.linalg.qr(rng.standard_normal((4, 4)))[0]


def scores(z: np.ndarray) -> dict[str, float]:
    return {name: v for score in SCORES for name, v in score(z, V, 0).items()}


@pytest.fixture(scope="module")
def copied() -> dict[str, float]:
    """Each factor in an element of its own, at another scale and place, and two that are noise."""
    noise = rng.standard_normal((len(V), 1))
    return scores(np.concatenate([-3 * V[:, ::-1] + 1, noise], 1))


@pytest.fixture(scope="module")
def rotated() -> dict[str, float]:
    return scores((V - 0.5) @ ROTATION)


@pytest.fixture(scope="module")
def noise() -> dict[str, float]:
    return scores(rng.standard_normal((len(V), 4)))


def test_copied_factors_are_disentangled(copied):
    for name in ("mig", "sap", "dci_completeness", "dci_disentanglement"):
        assert copied[name] > 0.9, name
    assert copied["dci_informativeness"] > 0.98
    assert copied["factor_vae"] == 1
    assert copied["modularity"] == pytest.approx(4 / 5, abs=0.12)  # noise tells nothing in full


def test_rotated_factors_are_there_and_entangled(rotated):
    for name in ("mig", "sap", "dci_completeness", "dci_disentanglement"):
        assert rotated[name] < 0.45, name
    assert rotated["factor_vae"] < 1
    assert rotated["dci_informativeness"] > 4 / 20  # four times what chance tells of 20 values


def test_noise_tells_nothing(noise):
    assert noise["mig"] < 0.01
    assert noise["sap"] < 0.01
    assert noise["dci_disentanglement"] < 0.1
    assert noise["dci_informativeness"] == pytest.approx(1 / 20, abs=0.02)
    assert noise["factor_vae"] == pytest.approx(1 / 4, abs=0.12)


# ----------------------------------------------------------- definitions, on discrete cases

A, B = (each.ravel() for each in np.meshgrid(np.arange(4), np.arange(4)))
GRID = np.stack([A, B], 1).repeat(20, 0)  # two factors of four values, in all combinations


def test_the_mutual_information_gap_is_its_definition():
    a, b = GRID.T
    z = np.stack([a, b, a // 2], 1).astype(float)
    # Of a: all of its ln 4 by the first, ln 2 by the third; of b: all, and nothing.
    assert mig(z, GRID)["mig"] == pytest.approx((0.5 + 1) / 2, abs=1e-12)


def test_modularity_is_its_definition():
    a, b = GRID.T
    z = np.stack([a, 4 * a + b, 2 * (a // 2) + b // 2], 1).astype(float)
    # One factor; both alike; both alike, of which half: 1, 0 and 0.
    assert modularity(z, GRID)["modularity"] == pytest.approx(1 / 3, abs=1e-12)
    z = np.stack([2 * a + b // 2], 1).astype(float)  # ln 4 of a, ln 2 of b
    assert modularity(z, GRID)["modularity"] == pytest.approx(1 - 1 / 4, abs=1e-12)
    assert modularity(np.zeros((len(GRID), 2)), GRID)["modularity"] == 0


def test_separated_predictability_is_the_gap_of_squared_correlations():
    u = rng.standard_normal((20_000, 2))
    v = u[:, :1]
    z = np.stack([0.8 * u[:, 0] + 0.6 * u[:, 1], 0.6 * u[:, 0] - 0.8 * u[:, 1]], 1)
    assert sap(z, v)["sap"] == pytest.approx(0.64 - 0.36, abs=0.02)


def test_disentanglement_and_completeness_are_entropies_of_importance():
    assert entropy(np.array([[1.0, 0, 0], [1, 1, 1], [0, 0, 0], [2, 2, 0]])) == pytest.approx(
        [0, 1, 1, np.log(2) / np.log(3)]
    )
    a, b = GRID.T
    found = dci(np.stack([a, b], 1)[rng.permutation(len(a))].astype(float), GRID)
    assert found["dci_informativeness"] < 0.6  # in another order than the factors
    order = rng.permutation(len(a))
    found = dci(np.stack([b, a], 1)[order].astype(float), GRID[order])
    assert found == {name: 1 for name in found}


def test_a_vote_names_the_factor_that_is_held_fixed():
    z = np.stack([V[:, 0], V[:, 0] + 1e-3 * V[:, 1]], 1)  # nothing tells of three of the factors
    assert factor_vae(z, V)["factor_vae"] < 0.6
    z = np.concatenate([V, 1e-3 * rng.standard_normal((len(V), 1))], 1)  # a dead element
    assert factor_vae(z, V)["factor_vae"] == 1


def test_continuous_values_are_put_into_bins_and_others_are_not():
    found = discrete(np.stack([V[:, 0], np.round(V[:, 1] * 3)], 1))
    assert sorted(set(found[:, 0])) == list(range(20))
    assert sorted(set(found[:, 1])) == list(range(4))
    low, high = V[:, 0].min(), V[:, 0].max()
    places = ((V[:, 0] - low) / (high - low) * 20).astype(int).clip(0, 19)
    assert np.array_equal(found[:, 0], places)


# -------------------------------------------------------------------------- the measure


def test_sprites_are_measured_with_their_factors():
    data = Sprites(size=600, val_size=100)
    inputs = Inputs(data, data.named("test"))
    figures = by_name(disentanglement(trained_of(model_of(shape=data.shape).float()), inputs))
    assert figures.keys() == {name for score in SCORES for name in score(V[:99], V[:99], 0)}
    assert all(0 <= figure.value <= 1 for figure in figures.values())
    assert figures["mig"].note == "100 examples, seed 0"


def test_data_of_unknown_factors_are_refused():
    with pytest.raises(UsageError, match="Given knows no factors of its examples"):
        disentanglement(trained_of(model_of().float()), inputs_of(torch.rand(9, 1, 4, 4)))
