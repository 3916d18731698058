"""Compare: the figures of several runs side by side, and their spread over seeds."""

import json
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NotRequired

from typing_extensions import TypedDict

from ae_lightning.core.errors import UsageError, nearest, printable
from ae_lightning.core.files import path_of, read_text
from ae_lightning.core.printing import counted
from ae_lightning.core.untrusted import conform
from ae_lightning.inference.configurations import (
    Flat,
    configuration_of,
    differences,
    digest_of_validation,
)
from ae_lightning.inference.trained import read_saved
from ae_lightning.training.checkpoint_reading import fingerprint_of

if TYPE_CHECKING:
    from pandas import DataFrame

MOST_BYTES: Final = 10**7
# Of other figures, such as a rate, neither more nor less is better.
HIGHER: Final = ("elbo", "log_p", "psnr", "ssim", "explained_variance", "denoising_gain", "cosine")
HIGHER_TOO: Final = (
    "logistic",
    "knn",
    "mig",
    "dci",
    "sap",
    "factor_vae",
    "modularity",
    "finetuned",
)
LOWER: Final = ("distortion", "mse", "bits_per_dimension", "fid", "kid", "score_error")


class Valued(TypedDict):
    """A figure, of which the rest is for readers."""

    value: float | None
    unit: str
    error: float | None
    interval: list[float] | None
    note: str


class Evaluated(TypedDict):
    """What `evaluate --json` writes."""

    model: str
    data: str
    split: str | None
    examples: int
    settings: dict[str, Any]
    configuration: dict[str, Any]
    training_seed: int
    figures: dict[str, dict[str, Valued]]
    left_out: dict[str, str]
    digest: NotRequired[str]


class Run(NamedTuple):
    """The figures of one run.

    Args:
        name: of its folder or file.
        configuration, seed: what it was trained with.
        of: what its figures are of; only equal ones are compared.
        digest: of the data that they are of; only among equal ones is one best.
        figures: by name.
    """

    name: str
    configuration: Flat
    seed: int
    of: str
    digest: str
    figures: dict[str, float]


class Cell(NamedTuple):
    """A figure of runs that differ in their seed alone.

    Args:
        mean: over the runs.
        spread: their standard deviation; None of one alone.
        best: whether no other runs' mean is better, among those of the same data.
    """

    mean: float
    spread: float | None
    best: bool


class Comparison(NamedTuple):
    """Runs side by side.

    Args:
        names: of each column.
        settings: in what they differ, by name, and its value in each column.
        figures: by name, the cells of each column; None where it has no such figure.
        alike: the columns whose figures are of the same data and shape, as groups of places.
    """

    names: list[str]
    settings: dict[str, list[Any]]
    figures: dict[str, list[Cell | None]]
    alike: list[list[int]]

    def frame(self) -> "DataFrame":
        """As a table with a row for each figure of each column."""
        from pandas import DataFrame

        rows = [
            {"figure": name, "runs": column, **cell._asdict()}
            for name, cells in self.figures.items()
            for column, cell in zip(self.names, cells, strict=True)
            if cell is not None
        ]
        return DataFrame(rows, columns=["figure", "runs", *Cell._fields])


def compare(*runs: str | Path, only: Sequence[str] = ()) -> Comparison:
    """Put runs side by side; those that differ in nothing but their seed share a column.

    Args:
        runs: runs or checkpoints, for the validation that each was chosen by; or files that
            `evaluate --json` has written.
        only: the figures to compare; all, if empty.

    The best is marked among figures of the same data and shape alone.

    Raises:
        UsageError: if there is no such run or figure, or the figures are of different things.
    """
    found = [read(run) for run in runs]
    if not found:
        raise UsageError("no runs are given: name two or more, or files of evaluate --json.")
    for run in found[1:]:
        if run.of != found[0].of:
            raise UsageError(
                f"{run.name} holds figures of {run.of}, and {found[0].name} of {found[0].of}: "
                "compare equal ones."
            )
    columns = apart_from_seeds(found)
    names = list(dict.fromkeys(name for run in found for name in run.figures))
    for name in only:
        if name not in names:
            raise UsageError(f"no run has a figure {name}: {nearest(name, names)}")
    alike = defaultdict[str, list[int]](list)
    for place, column in enumerate(columns):
        alike[column[0].digest].append(place)
    groups = list(alike.values())
    rows = {
        name: row(
            [[r.figures[name] for r in c if name in r.figures] for c in columns], name, groups
        )
        for name in (only or names)
    }
    settings = differences(column[0].configuration for column in columns)
    return Comparison([title(column) for column in columns], settings, rows, groups)


def read(given: str | Path) -> Run:
    """The figures of a run, a checkpoint or a file of `evaluate --json`."""
    path = path_of(given, "run")
    if path.suffix == ".json":
        return read_evaluated(path)
    file, saved = read_saved(path)
    figures = {
        name.removeprefix("val/"): float(value)
        for name, value in saved["figures"].items()
        if name.startswith("val/") and "/rate_" not in name
    }
    if not figures:
        raise UsageError(f"{file} has no validation: evaluate it, and compare the JSON.")
    digest = digest_of_validation(saved, fingerprint_of(saved))
    return Run(str(path), *configuration_of(saved), "the validation", digest, figures)


def read_evaluated(file: Path) -> Run:
    """What `evaluate --json` has written.

    Raises:
        UsageError: if it cannot be read, or holds something else.
    """
    try:
        tree = json.loads(read_text(file, MOST_BYTES))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise UsageError(f"{file} is no JSON, as evaluate --json writes it.") from None
    found = conform(Evaluated, tree, file)
    figures = {
        printable(name, 60): value
        for group in found["figures"].values()
        for name, figure in group.items()
        if (value := figure["value"]) is not None
    }
    of = f"{counted(found['examples'], 'example')} of {found['data']}, split {found['split']}"
    asked = {k: v for k, v in found["settings"].items() if k not in ("batch_size", "weights")}
    of = printable(f"{of}, {asked}")
    asked_of = found["configuration"], found["training_seed"], of, found.get("digest", "")
    return Run(str(file), *asked_of, figures)


def apart_from_seeds(runs: Sequence[Run]) -> list[list[Run]]:
    """Group the runs that differ in their seed alone; one of the same seed stands for itself."""
    columns: list[list[Run]] = []
    for run in runs:
        for column in columns:
            alike = column[0].configuration == run.configuration
            alike = alike and column[0].digest == run.digest
            if alike and run.seed not in [other.seed for other in column]:
                column.append(run)
                break
        else:
            columns.append([run])
    return columns


def title(column: list[Run]) -> str:
    """The name of a column: of its first run, and how many seeds it has."""
    return column[0].name if len(column) == 1 else f"{column[0].name} ({len(column)} seeds)"


def row(columns: list[list[float]], name: str, groups: list[list[int]]) -> list[Cell | None]:
    """A figure's cells, of its values in each column; the best of each group is marked."""
    means = [mean(values) if values else math.nan for values in columns]
    sign, best = direction(name), set[int]()
    for group in groups:
        finite = {place: sign * means[place] for place in group if math.isfinite(means[place])}
        if sign and len(set(finite.values())) > 1:
            best |= {place for place, m in finite.items() if m == max(finite.values())}
    return [
        Cell(m, stdev(values) if len(values) > 1 else None, place in best) if values else None
        for place, (m, values) in enumerate(zip(means, columns, strict=True))
    ]


def direction(name: str) -> int:
    """1 if a larger figure is better, −1 if a smaller one is, and otherwise 0.

    >>> direction("elbo"), direction("mse"), direction("rate")
    (1, -1, 0)
    """
    if name.startswith((*HIGHER, *HIGHER_TOO)):
        return 1
    return -1 if name.startswith(LOWER) else 0
