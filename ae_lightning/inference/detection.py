"""Detect: a score of every example, and whether it is an anomaly at a rate of false alarms."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ae_lightning.core.errors import UsageError, one_of
from ae_lightning.core.showing import shown
from ae_lightning.inference.anomaly_scores import AnomalyScore, score_named
from ae_lightning.inference.codes import array
from ae_lightning.inference.conformal import Calibration, allowed
from ae_lightning.inference.data import data_named
from ae_lightning.inference.inputs import Inputs, open_inputs, opened
from ae_lightning.inference.overlap import seen, trained_on
from ae_lightning.inference.ranking import Ranking, ranking
from ae_lightning.inference.reading import Reading
from ae_lightning.inference.trained import TrainedModel, load

if TYPE_CHECKING:
    from pandas import DataFrame


@shown
class Scores(NamedTuple):
    """What is found of some examples.

    Args:
        path: their names.
        label: the class of each, by name or number; None where there are no labels.
        score: how little each looks like the data of training (B,).
        p_value: how many clean examples of the calibration, and one more, score no less (B,).
        anomaly: whether that is no more than the share of false alarms (B,).
        x: the examples (B, *S), on their device.
    """

    path: list[str]
    label: list[str | int | None]
    score: NDArray[np.float64]
    p_value: NDArray[np.float64]
    anomaly: NDArray[np.bool_]
    x: Tensor

    def frame(self) -> "DataFrame":
        """As a table with a row for each example: path, label, score, p_value, anomaly."""
        from pandas import DataFrame

        return DataFrame(self._asdict() | {"x": None}).drop(columns="x")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As arrays by name: path, score, p_value, anomaly, and label if there are any."""
        found = {name: np.array(values) for name, values in self._asdict().items() if name != "x"}
        if self.label[0] is None:
            del found["label"]
        return found


class Detector(NamedTuple):
    """A score of a model, and what it is of clean examples.

    Args:
        calibration_seen: whether the model was trained on some of these.
    """

    trained: TrainedModel
    score: AnomalyScore
    calibration: Calibration
    calibration_seen: bool = False

    @torch.no_grad()
    def each(self, inputs: Inputs, batch_size: int = 256) -> Iterator[Scores]:
        """Judge data batch by batch."""
        for batch in inputs.batches(batch_size, self.trained.device, "Scoring"):
            x = batch.pair.x
            s = scores_of(self.score, x)
            p, anomaly = self.calibration.p_values(s), self.calibration.anomalies(s)
            yield Scores(batch.names, batch.labels, s, p, anomaly, x)


@shown
class Detection(NamedTuple):
    """What is found in data.

    Args:
        table: a row for each example: path, label, score, p_value, anomaly.
        calibration: of which scores are anomalies.
        ranking: AUROC and AUPR; None if it is not known which examples are anomalies.
        seen, calibration_seen: whether the model was trained on some of these data, or of those of
            the calibration, whose rate of false alarms then promises nothing.
    """

    table: "DataFrame"
    calibration: Calibration
    ranking: Ranking | None
    seen: bool
    calibration_seen: bool


def detect(
    model: str | Path | TrainedModel,
    *data: str,
    calibrate: str,
    false_alarms: float = 0.01,
    score: str | None = None,
    against: str | Path | TrainedModel | None = None,
    samples: int = 16,
    clean: Collection[str | int] | None = None,
    calibrate_split: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    batch_size: int = 256,
    device: str = "auto",
    reading: Reading | None = None,
) -> Detection:
    """Score every example of data, and say which are anomalies.

    Args:
        model: a run, a checkpoint or a loaded model.
        data: a folder, image files, an array file or a shipped data set; that of training if none.
        calibrate: clean data, on which the model was not trained.
        false_alarms: the share of clean examples that may be called anomalies.
        score: error, bound, normal or ratio; by default error, or ratio with a background model.
        against: the background model of a likelihood ratio.
        samples: how many samples of q(z|x) a bound takes.
        clean: the labels of data that are clean, all others being anomalies; not known if None. If
            none of data are clean, as with (), anomalies are compared with those of calibrate.
        calibrate_split: train, val or test of calibrate; by default val if the model was trained on
            these data, and otherwise all.
        split: train, val or test; all, if None.
        limit: how many examples to take at most.
        batch_size: how many to score at a time.
        device: auto, cpu, cuda, ….
        reading: how image files are read, if not as in training: see `Reading`.

    Raises:
        UsageError: if there is no such model or no such data, they do not fit, there are too few to
            calibrate, or the score does not suit the model.
    """
    from pandas import concat

    trained, inputs = opened(model, data, split, limit, device, reading)
    require_labels(inputs, clean)
    found = detector(
        trained, calibrate, false_alarms, score, against, samples, calibrate_split, batch_size
    )
    parts = list(found.each(inputs, batch_size))
    table = concat([part.frame() for part in parts], ignore_index=True)
    anomalous = are_anomalous(table.label.tolist(), clean)
    ranked = rank(found.calibration, table.score, anomalous)
    known = seen(trained, inputs), found.calibration_seen
    return Detection(table, found.calibration, ranked, *known)


def detector(
    trained: TrainedModel,
    calibrate: str,
    false_alarms: float = 0.01,
    score: str | None = None,
    against: str | Path | TrainedModel | None = None,
    samples: int = 16,
    calibrate_split: str | None = None,
    batch_size: int = 256,
) -> Detector:
    """Choose a score, and calibrate it on clean data; the arguments are those of `detect`."""
    if against is not None and not isinstance(against, TrainedModel):
        against = load(against, trained.device)
    background = None if against is None else against.model.to(trained.device)
    chosen = score_named(score, trained.model, background, samples)
    held_out = calibrate_split is None and trained_on(trained, data_named(trained, calibrate))
    inputs = open_inputs(trained, [calibrate], "val" if held_out else calibrate_split)
    try:
        allowed(len(inputs), false_alarms)  # or else a sentence, before all are scored
    except UsageError as error:
        if not held_out or not 0 < false_alarms < 1:
            raise
        of = f"these are the validation set of {calibrate}, on whose others the model was trained"
        raise UsageError(f"{str(error).rstrip('.')}; {of}.") from None
    batches = inputs.batches(batch_size, trained.device, "Calibrating")
    with torch.no_grad():
        s = [scores_of(chosen, batch.pair.x) for batch in batches]
    calibration = Calibration(np.concatenate(s), false_alarms)
    return Detector(trained, chosen, calibration, seen(trained, inputs))


def scores_of(score: AnomalyScore, x: Tensor) -> NDArray[np.float64]:
    """The scores of examples; what is no number is as strange as can be."""
    found: NDArray[np.float64] = array(score(x)).astype(np.float64)
    return np.where(np.isnan(found), np.inf, found)


def require_labels(inputs: Inputs, clean: Collection[str | int] | None) -> None:
    """Raise UsageError if data have no labels, or not those that are said to be clean."""
    if not clean:
        return
    known = set[str]()
    for group in inputs.groups:
        y = getattr(group.examples, "y", None)
        if y is None:  # not known before all is read
            return
        known |= {str(label) for v in y.unique().tolist() if (label := group.label(v)) is not None}
    if not known:
        raise UsageError("these data have no labels, so that none of them are known to be clean.")
    for label in clean:
        one_of("clean", str(label), known)


def are_anomalous(
    labels: Collection[str | int | None], clean: Collection[str | int] | None
) -> NDArray[np.bool_] | None:
    """Which labels are not among the clean ones; None if these are not known."""
    if clean is None:
        return None
    known = {str(label) for label in clean}
    return np.array([str(label) not in known for label in labels], bool)


def rank(
    calibration: Calibration, scores: NDArray[np.float64], anomalous: NDArray[np.bool_] | None
) -> Ranking | None:
    """AUROC and AUPR: of the anomalies in data against what else there is, or the calibration.

    None if it is not known which are anomalies, or none are.
    """
    if anomalous is None or not anomalous.any():
        return None
    if anomalous.all():
        anomalous = np.repeat([True, False], [len(scores), len(calibration.scores)])
        scores = np.concatenate([scores, calibration.scores])
    return ranking(scores, anomalous)
