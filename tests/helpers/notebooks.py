"""Notebooks, run by a kernel of their own as a reader would."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

SECONDS = 240  # for each cell


def run(notebook: Any, folder: Path) -> Any:
    """Run a notebook in a folder on one core, and return it with its outputs."""
    place = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=SECONDS, startup_timeout=SECONDS, resources=place)
    return client.execute(env={**os.environ, "OMP_NUM_THREADS": "1"})


def of_code(*cells: str) -> Any:
    """A notebook of these cells."""
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])


def outputs(notebook: Any) -> Iterator[Any]:
    """What its cells have printed, shown and returned."""
    for cell in notebook.cells:
        yield from cell.get("outputs", ())


def seen(output: Any) -> dict[str, str]:
    """What a reader sees of an output, by its kind: the richest of its forms alone."""
    if output.output_type == "stream":
        return {output.name: output.text}
    forms = output.get("data", {})
    best = next(kind for kind in ("image/png", "text/html", "text/plain") if kind in forms)
    return {best: forms[best]}
