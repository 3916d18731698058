"""What is kept of scores that stream by: figures, the worst examples, and maps of errors."""

from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from heapq import nlargest
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ae_lightning.core.printing import counted
from ae_lightning.inference.detection import Detector, Scores, are_anomalous, rank
from ae_lightning.inference.image_writing import write_image
from ae_lightning.inference.ranking import Ranking
from ae_lightning.inference.reconstructions import reconstructed

WORST: Final = 24  # examples that a page shows


class Example(NamedTuple):
    """One example, and how it is reconstructed (S)."""

    score: float
    p_value: float
    anomaly: bool
    path: str
    label: str | int | None
    x: NDArray[np.float32]
    r: NDArray[np.float32]
    error: NDArray[np.float32]


class Findings:
    """All scores of data, and the worst of its examples.

    Args:
        detector: what judges them.
        clean: as for `detect`.
        maps: the folder for the map of every anomaly's error; none are written if None.
        seen: whether the model was trained on some of the data.
    """

    def __init__(
        self,
        detector: Detector,
        clean: Collection[str | int] | None = None,
        maps: Path | None = None,
        seen: bool = False,
    ) -> None:
        self.seen = seen
        self.detector, self.clean, self.maps = detector, clean, maps
        self.worst: list[Example] = []
        self._scores: list[NDArray[np.float64]] = []
        self._anomalous: list[NDArray[np.bool_] | None] = []

    def watch(self, parts: Iterable[Scores]) -> Iterator[Scores]:
        """Hand on what is found, batch by batch, and keep what is needed of it."""
        for part in parts:
            self._scores.append(part.score)
            self._anomalous.append(are_anomalous(part.label, self.clean))
            least = self.worst[-1].score if len(self.worst) == WORST else -np.inf
            highest = np.argsort(-part.score, kind="stable")[:WORST]
            candidates = self._examples(part, highest[part.score[highest] > least])
            self.worst = nlargest(WORST, [*self.worst, *candidates], key=lambda e: e.score)
            if self.maps is not None:
                low, high = self.detector.trained.model.value_range or (0.0, 1.0)
                for found in self._examples(part, np.flatnonzero(part.anomaly)):
                    name = f"{found.path}.error.png"
                    write_image(self.maps, name, found.error / (high - low))
            yield part

    @torch.no_grad()
    def _examples(self, part: Scores, rows: NDArray[np.int64]) -> list[Example]:
        """Some examples of a batch, with their reconstructions."""
        if not len(rows):
            return []
        names = [part.path[row] for row in rows]
        found = reconstructed(self.detector.trained, names, part.x[torch.as_tensor(rows)])
        values = zip(rows, names, found.x, found.r, found.error, strict=True)
        return [
            Example(
                *(float(part.score[b]), float(part.p_value[b]), bool(part.anomaly[b])),
                *(name, part.label[b], x, r, error),
            )
            for b, name, x, r, error in values
        ]

    @property
    def scores(self) -> NDArray[np.float64]:
        """All scores (N,)."""
        return np.concatenate(self._scores)

    @property
    def anomalous(self) -> NDArray[np.bool_] | None:
        """Which examples are anomalies by their labels (N,); None if that is not known."""
        known = [part for part in self._anomalous if part is not None]
        return np.concatenate(known) if known else None

    @property
    def found(self) -> NDArray[np.bool_]:
        """Which examples are anomalies by their scores (N,)."""
        return self.detector.calibration.anomalies(self.scores)

    @cached_property
    def ranking(self) -> Ranking | None:
        """AUROC and AUPR, if they are known."""
        return rank(self.detector.calibration, self.scores, self.anomalous)

    def guarantee(self) -> str:
        """What the threshold promises."""
        calibration = self.detector.calibration
        low, high = calibration.rate()
        n, share = len(calibration.scores), calibration.false_alarms
        if self.detector.calibration_seen:
            return (
                f"a score above {calibration.threshold:.6g} is an anomaly, and no rate of false "
                f"alarms is promised: the model was trained on some of the calibration's {n:,} "
                "examples, which it knows better than others"
            )
        return (
            f"a score above {calibration.threshold:.6g} is an anomaly: so is a share of at most "
            f"{share:.4g} of clean examples, averaged over calibrations, and of {low:.3g} to "
            f"{high:.3g} after this one on {n:,} (95% confidence)"
        )

    def summary(self) -> list[str]:
        """What is found, in sentences."""
        found, truth = self.found, self.anomalous
        be = "is an anomaly" if found.sum() == 1 else "are anomalies"
        lines = [f"{found.sum():,} of {counted(len(found), 'example')} {be}"]
        if truth is not None and not truth.all():
            right, wrong = (found & truth).sum(), (found & ~truth).sum()
            lines.append(
                f"{right:,} of {truth.sum():,} true anomalies are found, and {wrong:,} of "
                f"{(~truth).sum():,} clean examples are false alarms"
            )
        if (ranked := self.ranking) is not None:
            of = " of the calibration" if truth is not None and truth.all() else ""
            lines.append(
                f"AUROC {ranked.auroc}, AUPR {ranked.aupr}: {ranked.anomalies:,} anomalies against "
                f"{ranked.clean:,} clean examples{of}"
            )
        if self.seen:
            lines.append(
                "the model was trained on some of these examples, and knows them better than new "
                "ones: fewer of them are anomalies"
            )
        return lines
