"""metrics.csv: what training logs, row by row."""

import csv
import io
import os
import warnings
from collections.abc import Mapping
from errno import ENOSPC
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from ae_lightning.core.files import write_text
from ae_lightning.training import run_directory

Row = dict[str, Any]


class MetricsFile(Logger):
    """Write every row of metrics.csv at once, so that a crash loses none.

    Lightning's CSVLogger deletes the file of a run that is resumed. A row that a full disk refuses
    is kept, and written before the next one.

    Args:
        run: the run's directory.
        kept: how many of the present rows to keep: as many as the run had logged at the state that
            it resumes from. Later ones are dropped, since they will be logged again.
    """

    def __init__(self, run: Path, kept: int = 0) -> None:
        super().__init__()
        self.run, self.path = run, run / run_directory.METRICS
        self.rows = kept  # how many there are, waiting ones included
        self.columns: list[str] = []  # empty until the first row
        self._waiting: list[Row] = []

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
        """Skip them: config.yaml holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._waiting.append({"epoch": metrics.get("epoch", ""), "step": step, **metrics})
        self.rows += 1
        try:
            self._write()
        except OSError as error:
            warnings.warn(
                f"{self.path} cannot be written ({error.strerror}): "
                f"{len(self._waiting)} rows of metrics wait in memory.",
                stacklevel=2,
            )

    def _write(self) -> None:
        if not self.columns:
            kept = self._rows()[: self.rows - len(self._waiting)]
            self.rows = len(kept) + len(self._waiting)
            self._rewrite(kept, list(kept[0] if kept else ("epoch", "step")))
        while self._waiting:
            row = self._waiting[0]
            if new := [name for name in row if name not in self.columns]:
                self._rewrite(self._rows(), [*self.columns, *new])
            self._append(row)
            self._waiting.pop(0)

    def _append(self, row: Row) -> None:
        text = io.StringIO()
        csv.DictWriter(text, self.columns, lineterminator="\n").writerow(row)
        with self.path.open("ab", buffering=0) as file:
            size, data = file.tell(), text.getvalue().encode()
            try:
                if file.write(data) < len(data):
                    raise OSError(ENOSPC, os.strerror(ENOSPC))
            except OSError:
                file.truncate(size)
                raise

    def _rows(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            # A row that a crash cut short has no value in its last columns.
            return [r for r in csv.DictReader(file) if None not in r.values()]

    def _rewrite(self, rows: list[dict[str, str]], columns: list[str]) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.path, text.getvalue())
        self.columns = columns  # only now: a full disk leaves the former file, and its columns
