"""Run experiments, and keep what they found: as JSON, by the digest of the experiment."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ae_lightning.cli.main import main
from ae_lightning.core.files import write_text
from ae_lightning.inference.evaluation import evaluate

from .table import Experiment, Table

PACKAGES = ("ae-lightning", "torch", "lightning", "scikit-learn")
NO_PICTURES = [
    "--trainer.callbacks+=ae_lightning.callbacks.Report",
    "--trainer.callbacks.names=[]",
]
Found = dict[str, Any]  # of an experiment


class Places(NamedTuple):
    """Where runs, results and the page are kept."""

    runs: Path
    results: Path
    page: Path

    def file(self, table: Table) -> Path:
        return self.results / f"{table.name}.json"

    def found(self, table: Table) -> dict[str, Found]:
        """The results of a table's experiments as they are now, by their digests."""
        file = self.file(table)
        known = json.loads(file.read_text()) if file.exists() else {}
        digests = [e.digest for row in table.rows for e in table.experiments(row)]
        return {digest: known[digest] for digest in digests if digest in known}


def run(table: Table, places: Places, whole: bool = False) -> list[str]:
    """Run the experiments that have no result yet, seed by seed, and write each as it comes.

    Returns those that could not be trained, say because their data are not here.
    """
    rows = [row for row in table.rows if whole or not row.needs]
    wanted = [(row.name, e) for row in rows for e in table.experiments(row)]
    found, failed = places.found(table), []
    for name, experiment in sorted(wanted, key=lambda each: each[1].seed):
        if experiment.digest not in found:
            print(title := f"{table.name}: {name}, seed {experiment.seed}", flush=True)
            if (new := result(experiment, places.runs)) is None:
                failed.append(title)
                continue
            found[experiment.digest] = new
            write_text(places.file(table), json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    return failed


def result(experiment: Experiment, runs: Path) -> Found | None:
    """Train by the command line, or go on with it, and evaluate what was trained.

    Returns None if it cannot be trained, which the command line has told.

    Raises:
        SystemExit: if a signal ends it.
    """
    began, worked, resumed = time.monotonic(), time.process_time(), False
    if isinstance(experiment.recipe, str):
        folder = runs / f"{experiment.name}-{experiment.seed}-{experiment.training}"
        resumed = folder.exists()
        words = [*experiment.words, *NO_PICTURES, "--run", str(folder), "--resume", "auto"]
        if (code := main(words)) > 128:
            sys.exit(code)
        if code != 0:
            return None
        groups = evaluate(folder, **experiment.ask).figures.values()
        figures = [figure for group in groups for figure in group]
    else:
        figures = experiment.recipe()
    seconds = {"wall": time.monotonic() - began, "processor": time.process_time() - worked}
    return {
        "experiment": experiment.name,
        "flags": list(experiment.flags),
        "seed": experiment.seed,
        "figures": {f.name: {k: v for k, v in f._asdict().items() if k != "name"} for f in figures},
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "resumed": resumed,
        "machine": machine(),
        "versions": {name: version(name) for name in PACKAGES}
        | {"Python": platform.python_version()},
    }


def machine() -> str:
    """The processor and how many threads, or the GPU."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.machine()
    return f"{name}, {torch.get_num_threads()} of {os.cpu_count()} cores"
