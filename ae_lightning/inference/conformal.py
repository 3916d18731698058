"""A threshold on scores whose rate of false alarms is bounded, whatever the scores' distribution.

References:
    | Algorithmic Learning in a Random World (Vovk, Gammerman and Shafer, 2005)
    | Testing for Outliers with Conformal p-values (Bates, Candès, Lei, Romano and Sesia, 2023)
"""

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ae_lightning.core.errors import UsageError
from ae_lightning.core.printing import counted


@dataclass(frozen=True)
class Calibration:
    r"""The scores s_1 … s_n of clean examples, and what of others is an anomaly at the rate α.

    .. math:: p(s) = \frac{1 + |\{i : s_i \ge s\}|}{n + 1} \le \alpha
              \iff s > s_{(k)}, \quad k = \lceil (n + 1)(1 - \alpha) \rceil

    If a clean example and those of the calibration are exchangeable, as independent draws of one
    distribution are, P(p ≤ α) ≤ α over both; and > α − 1/(n + 1), if no two scores are equal.
    Without ties, the rate for one given calibration is distributed as Beta(l, n + 1 − l), with
    l = ⌊(n + 1)α⌋.

    Args:
        scores: those of the clean examples (n,), none of which the model was trained on.
        false_alarms: α, in (0, 1).

    Raises:
        UsageError: if α is not in (0, 1), or there are fewer than 1/α − 1 scores, or some are not
            finite.

    >>> Calibration(np.arange(99.0), 0.01).threshold
    98.0
    """

    scores: NDArray[Any]
    false_alarms: float
    allowed: int = field(init=False)  # l

    def __post_init__(self) -> None:
        if not np.isfinite(self.scores).all():
            raise UsageError("some clean examples have scores that are not finite.")
        object.__setattr__(self, "scores", np.sort(np.asarray(self.scores, np.float64)))
        object.__setattr__(self, "allowed", allowed(len(self.scores), self.false_alarms))

    @property
    def threshold(self) -> float:
        """The largest score that is no anomaly: the l-th largest of the calibration."""
        return float(self.scores[len(self.scores) - self.allowed])

    def p_values(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Return the p-values of scores (N,)."""
        n = len(self.scores)
        at_least_so = n - np.searchsorted(self.scores, scores, side="left")
        found: NDArray[np.float64] = (1 + at_least_so) / (n + 1)
        return found

    def anomalies(self, scores: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which of the scores (N,) are anomalies."""
        return np.asarray(scores) > self.threshold

    def rate(self, level: float = 0.95) -> tuple[float, float]:
        """Return the ends of an interval that holds the rate of this calibration, at this level."""
        from scipy.stats import beta

        l, tail = self.allowed, (1 - level) / 2
        low, high = beta.ppf([tail, 1 - tail], l, len(self.scores) + 1 - l)
        return float(low), float(high)


def allowed(n: int, false_alarms: float) -> int:
    """Return ⌊(n + 1)α⌋: the p-values that so many clean examples of n + 1 have are at most α.

    Raises:
        UsageError: if α is not in (0, 1), or n is too small for it.

    >>> allowed(99, 0.29)
    29
    """
    if not 0 < false_alarms < 1:
        raise UsageError(f"false_alarms is {false_alarms}: expected a share above 0 and below 1.")
    share = Fraction(str(float(false_alarms)))  # as it is written: 0.29 · 100 is 29
    if (found := math.floor((n + 1) * share)) < 1:
        raise UsageError(
            f"{counted(n, 'clean example')} {'is' if n == 1 else 'are'} too few for a share of "
            f"false alarms of {false_alarms:g}: give at least {math.ceil(1 / share) - 1:,}, or "
            "allow more false alarms."
        )
    return found
