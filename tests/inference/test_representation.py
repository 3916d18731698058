"""Probes, against scikit-learn on the same codes."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, sem, t
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ae_lightning.core.errors import UsageError
from ae_lightning.inference.inputs import Inputs
from ae_lightning.inference.measures.figures import Settings
from ae_lightning.inference.measures.finetuning import finetuning
from ae_lightning.inference.measures.representation import (
    DRAWS,
    drawn,
    representation,
    student,
    wilson,
)
from helpers.measured import by_name, inputs_of, trained_of
from helpers.models import model_of

K = 6


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = load_digits(return_X_y=True)
    x = torch.as_tensor(images / 16).view(-1, 1, 8, 8)
    return x.float(), torch.as_tensor(labels).long()


@pytest.fixture(scope="module")
def inputs(digits) -> Inputs:
    x, y = digits
    return inputs_of(x[1200:], y[1200:], train=(x[:1200], y[:1200]))


@pytest.fixture(scope="module")
def trained():
    return trained_of(model_of(shape=(1, 8, 8), latent=K).float())


@pytest.fixture(scope="module")
def figures(trained, inputs):
    return by_name(representation(trained, inputs, Settings(batch_size=100)))


def test_probes_on_all_labels_are_those_of_scikit_learn(digits, trained, figures):
    x, y = (each.numpy() for each in digits)
    z, raw = trained.model.code(digits[0]).numpy(), x.reshape(len(x), -1)
    pca = PCA(K).fit(raw[:1200]).transform(raw)
    for name, features in {"code": z, "raw": raw, "pca": pca}.items():
        train, test = features[:1200], features[1200:]
        logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        for kind, probe in {"logistic": logistic, "knn": KNeighborsClassifier(5)}.items():
            expected = probe.fit(train, y[:1200]).score(test, y[1200:])
            found = figures[f"{kind}_{name}_all"]
            assert found.value == pytest.approx(expected, abs=0.004), (kind, name)
            assert found.note == "1,200 labels"
            assert found.interval[0] < found.value < found.interval[1]


def test_few_labels_are_drawn_several_times(digits, trained, figures):
    y = digits[1][:1200].numpy()
    z = trained.model.code(digits[0]).numpy()
    shares = []
    for rows in drawn(y, 0)[100]:
        probe = KNeighborsClassifier(5).fit(z[rows], y[rows])
        shares.append(probe.score(z[1200:], digits[1][1200:]))
    found = figures["knn_code_100"]
    assert found.value == pytest.approx(np.mean(shares), abs=1e-9)
    assert found.error == pytest.approx(sem(shares))
    expected = t.interval(0.95, len(shares) - 1, np.mean(shares), sem(shares))
    assert found.interval == pytest.approx(expected)
    assert figures["knn_raw_100"].value < figures["knn_raw_1000"].value


def test_draws_hold_every_class_and_no_example_twice(digits):
    y = digits[1].numpy()
    found = drawn(y, 0)
    assert list(found) == [100, 1000, len(y)]
    for n in (100, 1000):
        assert len(found[n]) == DRAWS
        for rows in found[n]:
            assert len(set(rows)) == n
            assert len(set(y[rows])) == 10
        assert len({tuple(rows) for rows in found[n]}) == DRAWS
    assert not np.array_equal(found[100][0], drawn(y, 1)[100][0])


def test_the_intervals_are_wilsons_and_students():
    expected = binomtest(37, 50).proportion_ci(method="wilson")
    assert wilson(37, 50) == pytest.approx((expected.low, expected.high), rel=1e-6)
    assert wilson(50, 50)[1] == pytest.approx(1)
    low, high = student([0.8, 0.9])
    assert high - low == pytest.approx(2 * 12.7062 * 0.05, rel=1e-4)
    assert math.isclose(low + high, 1.7)


def test_fewer_labels_may_be_learned_from(trained, inputs):
    found = by_name(representation(trained, inputs, Settings(labels=150)))
    assert "knn_code_1000" not in found
    assert found["knn_code_all"].note == "150 labels"


def test_probes_are_not_tested_on_what_they_learn_from(trained, inputs):
    of = Inputs(inputs.data, inputs.data.named("train"))
    with pytest.raises(UsageError, match="learn from the split train"):
        representation(trained, of)


def test_an_encoder_that_learns_on_is_no_worse_and_the_model_stays_as_it_is(
    trained, inputs, monkeypatch
):
    monkeypatch.setattr("ae_lightning.inference.measures.finetuning.STEPS", 600)
    before = [p.clone() for p in trained.model.parameters()]
    state = torch.get_rng_state()
    (found,) = finetuning(trained, inputs, Settings(batch_size=100))
    (again,) = finetuning(trained, inputs, Settings(batch_size=64))
    (few,) = finetuning(trained, inputs, Settings(labels=100))
    assert found == again
    assert found.interval == wilson(round(found.value * len(inputs)), len(inputs))
    assert found.note == "1,200 labels, 600 steps, seed 0"
    (probe,) = (
        f for f in representation(trained, inputs, Settings()) if f.name == "logistic_code_all"
    )
    assert found.value > probe.value + 0.02
    assert few.value < found.value
    assert all(map(torch.equal, before, trained.model.parameters()))
    assert torch.equal(state, torch.get_rng_state())
    with pytest.raises(UsageError, match="learns from the split train"):
        finetuning(trained, Inputs(inputs.data, inputs.data.named("train")))


def test_data_of_one_class_have_no_probes(trained, digits):
    with pytest.raises(UsageError, match="probes need two classes or more, and have 50 labels"):
        representation(trained, inputs_of(digits[0][:50]))
