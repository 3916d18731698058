"""The documentation holds: its examples run, and its pages are built without a warning."""

import doctest
import re
import shlex
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

import ae_lightning
from ae_lightning.cli.main import main

DOCS = Path(ae_lightning.__file__).parents[1] / "docs"
OPTIONS = r"(?:---\n.*?\n---\n|(?::\w+:[^\n]*\n)*)"
CELL = re.compile(rf"^```\{{code-cell\}}[^\n]*\n{OPTIONS}(.*?)^```", re.MULTILINE | re.DOTALL)
with_sphinx = pytest.mark.skipif(find_spec("myst_nb") is None, reason="pip install '.[docs]'")


def cells(page: Path) -> list[str]:
    """The code of a page, cell by cell."""
    return [code.strip() for code in CELL.findall(page.read_text())]


PAGES = [page for page in sorted(DOCS.glob("*.md")) if cells(page)]  # chapters take too long


def execute(code: str, names: dict[str, object], where: str) -> None:
    """Run a cell as a notebook does: Python, `%%writefile FILE`, or commands after `%%bash`."""
    first, _, text = code.partition("\n")
    if first.startswith("%%writefile "):
        Path(first.split()[1]).write_text(text)
    elif first == "%%bash":
        for command in text.replace("\\\n", " ").splitlines():
            program, *words = shlex.split(command)
            assert program == "ae-lightning"
            assert main(words) == 0
    else:
        exec(compile(code, where, "exec"), names)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    monkeypatch.setitem(sys.modules, page.stem, type(sys)(page.stem))
    for number, code in enumerate(cells(page), start=1):
        execute(code, names, f"{page.name}, cell {number}")


@with_sphinx
@pytest.mark.parametrize("name", ["docstrings", "indices", "magics", "public_directive"])
def test_the_examples_of_an_extension_hold(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS / "extensions")
    failed, tried = doctest.testmod(import_module(name))
    assert tried
    assert not failed


@pytest.mark.slow
@with_sphinx
def test_the_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    options = ("-W", "-q", "-D", "nb_execution_mode=off")
    command = (sys.executable, "-m", "sphinx", *options, str(DOCS), str(tmp_path))
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "index.html").exists()
