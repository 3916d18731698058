"""The documentation holds: its examples run, and its pages are built without a warning."""

import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import ae_lightning
from ae_lightning.cli.main import main

DOCS = Path(ae_lightning.__file__).parents[1] / "docs"
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(?:---\n.*?\n---\n|(?::\w+:[^\n]*\n)*)(.*?)^```", re.M | re.S)


def cells(page: Path) -> list[str]:
    """The code of a page, cell by cell."""
    return CELL.findall(page.read_text())


PAGES = [page for page in sorted(DOCS.rglob("*.md")) if cells(page)]


def execute(code: str, names: dict[str, object], where: str) -> None:
    """Run a cell as a notebook does, in which a line that begins with ! is a command."""
    for piece in re.split(r"^(!.*(?:\\\n.*)*)$", code, flags=re.M):
        if piece.startswith("!ae-lightning "):
            assert main(shlex.split(piece.removeprefix("!ae-lightning "))) == 0
        else:
            exec(compile(piece, where, "exec"), names)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    for number, code in enumerate(cells(page), start=1):
        execute(code, names, f"{page.name}, cell {number}")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("myst_nb") is None, reason="pip install '.[docs]'")
def test_the_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    options = ("-W", "-q", "-D", "nb_execution_mode=off")
    command = (sys.executable, "-m", "sphinx", *options, str(DOCS), str(tmp_path))
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "index.html").exists()
