"""Anomalies among real images, by every score."""

import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import betabinom
from sklearn.metrics import average_precision_score, roc_auc_score

from ae_lightning.cli.main import main
from ae_lightning.core.errors import UsageError
from ae_lightning.inference import TrainedModel, detect, load
from ae_lightning.inference.anomaly_scores import (
    LikelihoodRatio,
    NegativeBound,
    NormalDistance,
    ReconstructionError,
    score_named,
)
from ae_lightning.likelihoods import Gaussian
from ae_lightning.nn import MLP
from ae_lightning.regularizers import Rate
from helpers.detecting import Trained, train_on_digits
from helpers.models import model_of
from helpers.pictures import affine, examples, f, g

close = partial(torch.testing.assert_close, rtol=1e-5, atol=0)


@pytest.fixture(scope="module")
def trained(ae_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return train_on_digits(ae_data, tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def model(trained: Trained) -> TrainedModel:
    return load(trained.checkpoint)


@pytest.mark.parametrize(("score", "least"), [("error", 0.95), ("bound", 0.99), ("normal", 0.95)])
def test_clothes_are_told_from_digits(
    trained: Trained, model: TrainedModel, score: str, least: float
) -> None:
    calibrate = str(trained.calibration)
    found = detect(model, str(trained.mixed), calibrate=calibrate, score=score, clean=[0])
    assert found.ranking is not None
    truth, scores = found.table.label == 1, found.table.score
    assert found.ranking.auroc.value == pytest.approx(roc_auc_score(truth, scores), abs=1e-9)
    assert found.ranking.aupr.value == pytest.approx(average_precision_score(truth, scores))
    assert found.ranking.auroc.value > least
    assert found.table.path.is_unique
    assert len(found.table) == 800


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_false_alarms_are_as_many_as_allowed(
    trained: Trained, model: TrainedModel, share: float
) -> None:
    calibrate = str(trained.calibration)
    found = detect(model, str(trained.digits), calibrate=calibrate, false_alarms=share)
    n, l = len(found.calibration.scores), found.calibration.allowed
    low, high = betabinom.ppf([0.0005, 0.9995], len(found.table), l, n + 1 - l)
    assert low <= found.table.anomaly.sum() <= high
    assert found.ranking is None


def test_a_score_depends_on_its_example_alone(trained: Trained, model: TrainedModel) -> None:
    """Neither on its place, nor on what else is scored."""
    x = torch.tensor(np.load(trained.digits)[:40]) / 255
    for score in (NegativeBound(model.model, 4), ReconstructionError(model.model)):
        with torch.no_grad():
            close(score(x).flip(0), score(x.flip(0)))
            close(score(x)[7:8], score(x[7:8]))


def test_the_error_is_the_mean_of_squares() -> None:
    model, x = affine(), examples()
    expected = (x - g(model, f(model, x))).square().flatten(1).mean(1)
    torch.testing.assert_close(ReconstructionError(model)(x), expected)


def test_the_distance_is_that_from_the_plane_of_a_linear_model() -> None:
    """Whatever the encoder: the nearest point is found by least squares."""
    model, x = affine(), examples()
    layer = model.decoder.layers[0]
    e = x.flatten(1) - layer.bias
    z = torch.linalg.lstsq(layer.weight, e.T).solution  # (K, B)
    expected = (e - (layer.weight @ z).T).norm(dim=1)
    torch.testing.assert_close(NormalDistance(model)(x), expected)
    assert (ReconstructionError(model)(x) * 16 > 1.01 * expected.square()).any()


def test_a_dimension_that_the_decoder_ignores_is_no_tangent() -> None:
    model, x = affine(), examples()
    with torch.no_grad():
        model.decoder.layers[0].weight[:, 1] = 0
    w = model.decoder.layers[0].weight[:, 0]
    e = x.flatten(1) - model.decoder.layers[0].bias
    expected = (e - torch.outer(e @ w, w) / w.square().sum()).norm(dim=1)
    torch.testing.assert_close(NormalDistance(model)(x), expected)


def test_a_bound_is_above_the_true_value_and_falls_with_samples() -> None:
    model, x = affine(regularizers={"rate": Rate()}), examples(5)
    W, b = model.decoder.layers[0].weight, model.decoder.layers[0].bias
    covariance = W @ W.T + torch.eye(16, dtype=W.dtype)
    log_p = torch.distributions.MultivariateNormal(b, covariance).log_prob(x.flatten(1))
    one, many = (NegativeBound(model, samples)(x).mean() for samples in (1, 500))
    assert one > many > -log_p.mean() - 0.1


def test_the_ratio_is_the_difference_of_bounds() -> None:
    model, background = (affine(K, regularizers={"rate": Rate()}) for K in (2, 3))
    x = examples()
    ratio = LikelihoodRatio(model, background, 8)(x)
    torch.testing.assert_close(ratio, NegativeBound(model, 8)(x) - NegativeBound(background, 8)(x))
    torch.testing.assert_close(LikelihoodRatio(model, model)(x), torch.zeros(40).double())


def test_what_does_not_suit_a_model_is_refused() -> None:
    stochastic = partial(affine, regularizers={"rate": Rate()})
    other = model_of(MLP([]), shape=(1, 4, 4), likelihood=Gaussian())
    for name, model, background, said in [
        ("bound", affine(stochastic=False), None, "score this one by error or normal"),
        ("bound", affine(), None, "held to the prior"),
        ("normal", affine(16), None, "tangents in all 16 directions"),
        ("ratio", affine(), None, "name the background model by against"),
        ("eror", affine(), None, "did you mean error"),
        ("error", stochastic(), stochastic(), "score is 'error'"),
        (None, stochastic(), other, "held to the prior"),
        (
            None,
            stochastic(),
            affine(shape=(1, 5, 5)),
            r"\(1, 5, 5\), and the model for \(1, 4, 4\)",
        ),
    ]:
        with pytest.raises(UsageError, match=said):
            score_named(name, model, background)


def test_values_that_are_not_finite_are_anomalies(trained: Trained, model: TrainedModel) -> None:
    class Broken(ReconstructionError):
        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            return super().__call__(x) * torch.nan

    from ae_lightning.inference.detection import scores_of

    x = torch.zeros(2, 1, 28, 28)
    assert (scores_of(Broken(model.model), x) == np.inf).all()


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".npz"])
def test_the_command_writes_what_the_function_finds(
    trained: Trained, model: TrainedModel, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"scores{suffix}"
    options = ["--calibrate", str(trained.calibration), "--clean", "0", "--out", str(out)]
    assert main(["detect", str(trained.checkpoint), str(trained.mixed), *options]) == 0
    if suffix == ".npz":
        with np.load(out) as file:
            found = pd.DataFrame(dict(file))
    else:
        found = pd.read_csv(out, dtype={"path": str}) if suffix == ".csv" else pd.read_parquet(out)
    calibrate = str(trained.calibration)
    expected = detect(model, str(trained.mixed), calibrate=calibrate, clean=[0]).table
    pd.testing.assert_frame_equal(found[list(expected)], expected, check_dtype=False)
