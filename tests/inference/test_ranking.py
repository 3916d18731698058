"""AUROC, AUPR and their intervals, and the threshold of conformal calibration."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import binom, norm
from sklearn.metrics import average_precision_score, roc_auc_score

from ae_lightning.core.errors import UsageError
from ae_lightning.inference.conformal import Calibration
from ae_lightning.inference.ranking import ranking


@pytest.mark.parametrize("ties", [False, True])
def test_areas_are_those_of_scikit_learn(ties: bool) -> None:
    rng = np.random.default_rng(0)
    anomalous = rng.random(300) < 0.3
    scores = rng.normal(size=300) + anomalous
    scores = scores.round() if ties else scores
    found = ranking(scores, anomalous, replicates=2)
    assert found.auroc.value == pytest.approx(roc_auc_score(anomalous, scores))
    assert found.aupr.value == pytest.approx(average_precision_score(anomalous, scores))
    assert (found.anomalies, found.clean) == (anomalous.sum(), (~anomalous).sum())


@pytest.mark.parametrize("order", [1, -1])
def test_areas_of_complete_separation_keep_an_interval(order: int) -> None:
    scores, anomalous = np.arange(100.0) * order, np.arange(100) >= 50
    auroc = ranking(scores, anomalous, replicates=2).auroc
    end = 0.025 ** (1 / 50)  # the exact interval of 50 successes in 50
    assert auroc == pytest.approx((1, end, 1) if order == 1 else (0, 0, 1 - end))


def areas(distance: float, share: float) -> tuple[float, float]:
    """The true AUROC and AUPR of N(distance, 1) against N(0, 1)."""

    def precision(t: float) -> float:
        right, wrong = share * norm.sf(t - distance), (1 - share) * norm.sf(t)
        return float(norm.pdf(t - distance) * right / (right + wrong))

    return float(norm.cdf(distance / 2**0.5)), quad(precision, -8, 8 + distance)[0]


@pytest.mark.parametrize(("distance", "m", "n"), [(1, 60, 120), (3, 60, 200), (5, 50, 100)])
def test_intervals_hold_the_truth_at_their_level(distance: float, m: int, n: int) -> None:
    """Near 1, and where most samples are separated completely, too."""
    rng, rounds = np.random.default_rng(0), 200
    truth, anomalous = areas(distance, m / (m + n)), np.arange(m + n) < m
    held = np.zeros(2)
    for seed in range(rounds):
        scores = rng.normal(size=m + n) + distance * anomalous
        found = ranking(scores, anomalous, replicates=100, seed=seed)
        held += [f.low <= true <= f.high for f, true in zip(found[:2], truth, strict=True)]
    assert (held >= binom.ppf(0.001, rounds, 0.93)).all(), held / rounds


def test_intervals_narrow_as_the_root_of_the_number() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for n in (400, 6400):
        anomalous = np.arange(n) % 2 == 0
        auroc = ranking(rng.normal(size=n) + anomalous, anomalous, replicates=200).auroc
        widths.append(auroc.high - auroc.low)
    assert widths[0] / widths[1] == pytest.approx(4, rel=0.3)


@pytest.mark.parametrize("anomalous", [[True, True], [False, False]])
def test_areas_need_both_kinds(anomalous: list[bool]) -> None:
    with pytest.raises(UsageError, match="a figure needs some of both"):
        ranking(np.array([1.0, 2.0]), np.array(anomalous))


@pytest.mark.parametrize(("n", "share"), [(99, 0.01), (99, 0.29), (250, 0.1), (37, 0.05)])
def test_p_values_and_the_threshold_say_the_same(n: int, share: float) -> None:
    rng = np.random.default_rng(0)
    calibration = Calibration(rng.integers(0, 50, n).astype(float), share)
    scores = np.arange(-1.0, 52.0)
    said = calibration.p_values(scores) <= share + 1e-12
    assert (calibration.anomalies(scores) == said).all()


@pytest.mark.parametrize(("n", "share"), [(99, 0.01), (99, 0.1), (30, 0.25)])
def test_the_share_of_false_alarms_is_the_one_promised(n: int, share: float) -> None:
    """On average over calibrations between α − 1/(n + 1) and α, whatever the distribution."""
    rng, rounds = np.random.default_rng(0), 20_000
    alarms = sum(
        Calibration(rng.standard_cauchy(n), share).anomalies(rng.standard_cauchy(1))[0]
        for _ in range(rounds)
    )
    low, high = share - 1 / (n + 1), share
    assert binom.ppf(0.0005, rounds, low) <= alarms <= binom.ppf(0.9995, rounds, high)


def test_the_rate_of_one_calibration_lies_in_its_interval() -> None:
    rng, rounds = np.random.default_rng(0), 2000
    held = 0
    for _ in range(rounds):
        calibration = Calibration(rng.random(200), 0.05)
        low, high = calibration.rate(0.9)
        held += low <= 1 - calibration.threshold <= high  # of uniform scores
    assert binom.ppf(0.0005, rounds, 0.9) <= held <= binom.ppf(0.9995, rounds, 0.9)


@pytest.mark.parametrize(
    ("n", "share", "said"),
    [
        (98, 0.01, "98 clean examples are too few .* give at least 99"),
        (0, 0.5, "0 clean examples are too few .* give at least 1"),
        (10, 0.0, "false_alarms is 0.0: expected a share above 0 and below 1"),
        (10, float("nan"), "false_alarms is nan"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(n: int, share: float, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Calibration(np.arange(float(n)), share)
