"""Which of one's own files are unlike those that a model was trained on."""

from contextlib import ExitStack
from pathlib import Path

from ae_lightning.core.errors import UsageError
from ae_lightning.core.outputs import output_file, output_folder, output_path
from ae_lightning.core.printing import counted, tell
from ae_lightning.inference.detection import detector, require_labels
from ae_lightning.inference.findings import Findings
from ae_lightning.inference.inputs import opened
from ae_lightning.inference.overlap import seen
from ae_lightning.inference.reading import Reading
from ae_lightning.inference.tables import writer_of
from ae_lightning.inference.trained import TrainedModel


def detect(
    model: Path,
    *data: str,
    calibrate: str,
    out: Path,
    false_alarms: float = 0.01,
    score: str | None = None,
    against: Path | None = None,
    samples: int = 16,
    clean: str | None = None,
    all_anomalous: bool = False,
    page: Path | None = None,
    maps: Path | None = None,
    calibrate_split: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    batch_size: int = 256,
    device: str = "auto",
    force: bool = False,
    reading: Reading | None = None,
) -> None:
    """Write a score for every example, and whether it is an anomaly.

    The threshold is calibrated on clean data, of which at most FALSE_ALARMS are above it.

    Args:
        model: a run, for its best checkpoint, or a checkpoint.
        data: a folder, image files, an array file or a shipped data set such as mnist; that of
            training, if none is given.
        calibrate: clean data, on which the model was not trained.
        out: the table to write: .parquet, .csv or .npz.
        false_alarms: the share of clean examples that may be called anomalies.
        score: error, of the reconstruction; bound, on −log p(x); normal, the distance from the
            manifold; or ratio, which needs against. By default error, or ratio with against.
        against: the run or checkpoint of a background model.
        samples: how many samples of q(z|x) a bound takes.
        clean: the classes of the data that are clean, as in good,spare: the others are anomalies.
        all_anomalous: all of the data are anomalies, as another data set is.
        page: an HTML page to write, of the worst and the maps of their errors.
        maps: a folder to write the map of every anomaly's error to.
        calibrate_split: train, val or test of CALIBRATE; by default val, if the model was trained
            on it, or else all.
        split: train, val or test; by default, all.
        limit: how many examples to take at most.
        batch_size: how many to score at a time.
        device: auto, cpu, cuda, cuda:1, ….
        force: replace what OUT, PAGE and MAPS name, if it exists.
        reading: how image files are read, where that is not to be as in training.

    Raises:
        UsageError: if there is no such model or no such data, they do not fit, or there are too few
            to calibrate.
    """
    if clean is not None and all_anomalous:
        raise UsageError("clean and all_anomalous are both given: drop one.")
    classes = () if all_anomalous else None if clean is None else clean.split(",")
    paths = [None if path is None else output_path(path, force) for path in (out, page, maps)]
    given = [path for path in paths if path is not None]
    if twice := [path for path in given if given.count(path) > 1]:
        raise UsageError(f"{twice[0]} is named twice: out, page and maps are three results.")
    write = writer_of(out)
    trained, inputs = opened(model, data, split, limit, device, reading)
    require_images(trained, maps)
    require_labels(inputs, classes)
    found = detector(
        trained, calibrate, false_alarms, score, against, samples, calibrate_split, batch_size
    )
    with ExitStack() as results:
        file = results.enter_context(output_file(out))
        folder = None if maps is None else results.enter_context(output_folder(maps))
        sheet = None if page is None else results.enter_context(output_file(page))
        findings = Findings(found, classes, folder, seen(trained, inputs))
        rows = write(file, findings.watch(found.each(inputs, batch_size)))
        if sheet is not None:
            from ae_lightning.inference.detection_page import detection_page

            sheet.write(detection_page(findings, " ".join(data) or str(model)).encode())
    tell(findings.guarantee(), *findings.summary())
    if maps is not None:
        tell(f"{maps}: {counted(findings.found.sum(), 'map')} of errors")
    if page is not None:
        tell(f"{page}: the {len(findings.worst)} worst")
    tell(f"{out}: the scores of {counted(rows, 'example')}")


def require_images(trained: TrainedModel, maps: Path | None) -> None:
    """Raise UsageError if maps are wanted of what are no images."""
    if maps is not None and len(trained.shape) != 3:
        raise UsageError(
            f"{trained.file} holds a model for data of shape {trained.shape}, and not for images: "
            "drop maps."
        )
