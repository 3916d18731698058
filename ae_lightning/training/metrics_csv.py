"""metrics.csv: what training logs, row by row."""

import csv
import io
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from ae_lightning.core.errors import UsageError
from ae_lightning.core.files import append, open_regular, set_aside, write_text
from ae_lightning.training import run_directory

Row = dict[str, Any]
MOST: Final = 2**28  # bytes
PLACE: Final = ("epoch", "step")  # the first columns


class Metrics(NamedTuple):
    """What could be read of a metrics.csv: its columns, its rows as text, and what is wrong."""

    columns: list[str]
    rows: list[dict[str, str]]
    wrong: str  # empty if all was read


class MetricsFile(Logger):
    """Write every row of metrics.csv at once, so that a crash loses none.

    Lightning's CSVLogger deletes the file of a run that is resumed. A row that a full disk refuses
    is kept, and written before the next one. A file that someone else has removed or changed is
    made anew of what can be read of it, and kept beside that under another name if it is damaged.

    Args:
        run: the run's directory.
        kept: how many of the present rows to keep: as many as the run had logged at the state that
            it resumes from. Later ones are dropped, since they will be logged again.
    """

    def __init__(self, run: Path, kept: int = 0) -> None:
        super().__init__()
        self.run, self.path = run, run / run_directory.METRICS
        self.rows = kept  # how many there are, waiting ones included
        self.columns: list[str] = []
        self._waiting: list[Row] = []
        self._kept: int | None = kept  # of the file as it is found; all, once training has begun
        self._left: tuple[int, ...] = ()  # the file as it was left

    @property
    def name(self) -> str:
        """Nothing, as is the version: a ModelCheckpoint writes into RUN/NAME/VERSION/…."""
        return ""

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.run)

    @property
    def experiment(self) -> None:
        return None

    @rank_zero_only
    def log_hyperparams(self, params: Any = None, *args: Any, **kwargs: Any) -> None:
        """Skip them, since config.yaml holds them; but look at the file before training starts."""
        self._write()

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._waiting.append({"epoch": metrics.get("epoch", ""), "step": step, **metrics})
        self.rows += 1
        self._write()

    def _write(self) -> None:
        try:
            if not self._left or self._left != self._found():
                self._repair()
            while self._waiting:
                row = self._waiting[0]
                if new := [name for name in row if name not in self.columns]:
                    self._rewrite(read_metrics(self.run).rows, [*self.columns, *new])
                text = io.StringIO()
                csv.DictWriter(text, self.columns, lineterminator="\n").writerow(row)
                append(self.path, text.getvalue().encode())
                self._left = self._found()
                self._waiting.pop(0)
        except OSError as error:
            warnings.warn(
                f"{self.path} cannot be written ({error.strerror}): "
                f"{len(self._waiting)} rows of metrics wait in memory.",
                stacklevel=3,
            )

    def _found(self) -> tuple[int, ...]:
        """The file on the disk, as far as it shows whether someone else has changed it."""
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return ()
        return status.st_ino, status.st_size, status.st_mode

    def _repair(self) -> None:
        """Write the file anew, with those of its rows that are kept, and say which are lost."""
        columns, rows, wrong = read_metrics(self.run)
        expected = self.rows - len(self._waiting)
        rows = rows[: self._kept]
        if wrong:
            aside = set_aside(self.path, "damaged").name
            news = f"{wrong}; it is kept as {aside}, and training goes on with {len(rows)} rows"
            warnings.warn(f"{self.path} {news}", stacklevel=4)
        elif len(rows) < expected:
            news = f"holds {len(rows)} of the {expected} rows that were logged: the others are lost"
            warnings.warn(f"{self.path} {news}", stacklevel=4)
        self._rewrite(rows, columns if rows else [*PLACE])
        self.rows, self._kept = len(rows) + len(self._waiting), None

    def _rewrite(self, rows: list[dict[str, str]], columns: list[str]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, text.getvalue())
        self.columns, self._left = columns, self._found()


def read_metrics(run: Path) -> Metrics:
    """Read the metrics.csv of a run, as far as it can be read; none is like an empty one."""
    file = run / run_directory.METRICS
    try:
        with open_regular(file, MOST) as opened:
            *lines, torn = opened.read().decode("utf-8-sig", errors="replace").split("\n")
    except FileNotFoundError:
        return Metrics([], [], "")
    except UsageError as error:
        return Metrics([], [], str(error).removeprefix(f"{file} ").rstrip("."))
    except OSError as error:
        return Metrics([], [], f"cannot be read ({error.strerror})")
    if not (lines or torn):
        return Metrics([], [], "")
    columns, *split = map(fields, lines or [torn])  # a row that a crash has cut short has no end
    if not (set(PLACE) <= set(columns) and len(set(columns)) == len(columns) and all(columns)):
        return Metrics([], [], "does not begin with the names of metrics, each once")
    rows = [dict(zip(columns, r, strict=True)) for r in split if len(r) == len(columns)]
    rows = [row for row in rows if re.fullmatch(r"\d{0,18}", row["step"], re.ASCII)]
    bad = len(split) - len(rows)
    return Metrics(columns, rows, f"has {bad} rows that cannot be read" if bad else "")


def fields(line: str) -> list[str]:
    """Return the values of a line; none if it cannot be one of metrics.

    >>> fields('1,"a,b",'), fields("1,\\x00")
    (['1', 'a,b', ''], [])
    """
    line = line.removesuffix("\r")
    try:
        return next(csv.reader([line], strict=True), []) if line.isprintable() else []
    except csv.Error:
        return []
