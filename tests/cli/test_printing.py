"""What is printed is what a name says: no markup, no control character, no endless sentence."""

import ast
import logging
import shutil
import sys
import warnings
from pathlib import Path

import pytest

import ae_lightning
from ae_lightning.cli.command_line import made_printable
from ae_lightning.cli.main import main
from ae_lightning.core.errors import nearest
from ae_lightning.core.printing import console, one_line, show_warnings, tell
from helpers.attack import one_sentence
from helpers.runs import FIT

ROOT = Path(ae_lightning.__file__).parents[1]
NAMES = {
    "a[/b]": "a[/b]",
    "[red]a[link=b]": "[red]a[link=b]",
    ":smile:": ":smile:",
    "a\x1b[2J\x1b]0;title\x07": r"a\x1b[2J\x1b]0;title\x07",
    "a\nae-lightning: b": r"a\nae-lightning: b",
    "a\u202egnp.exe": r"a\u202egnp.exe",
    "größe 図": "größe 図",
    "a\udcff": r"a\udcff",
}


def test_nothing_is_printed_but_by_what_makes_names_fit_to_be_printed() -> None:
    """By `tell`, by `console`, as a warning, or as a line of the log."""
    allowed = {"core/printing.py", "cli/completion.py"}  # a script that a shell runs
    for package in ("ae_lightning", "datamodules", "callbacks"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
                place = f"{file.relative_to(ROOT / package).as_posix()}: {name}"
                if place.partition(":")[0] not in allowed:
                    assert name not in ("print", "Console", "sys.stdout.write"), place


@pytest.mark.parametrize("name", NAMES.keys() - {"a\udcff"})
def test_a_run_of_any_name_is_trained_and_shown(
    name: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.move(copy, name)
    for args in (["summary", name], ["test", "--run", name]):
        capsys.readouterr()
        assert main(args) == 0, capsys.readouterr().err
        said = capsys.readouterr().out
        assert NAMES[name] in said.replace("\n", "")
        assert all(line.isprintable() for line in said.splitlines())


def test_a_run_named_like_markup_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*FIT, "--trainer.max_epochs", "1", "--run", "a[/b]"]) == 0
    assert "a[/b]/checkpoints/best.ckpt" in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES.keys() - {"a\udcff"})
def test_a_sentence_shows_what_a_name_contains(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["summary", f"nowhere/{name}"]) == 2
    assert NAMES[name] in one_sentence(capsys.readouterr().err)


def test_no_sentence_is_longer_than_one_reads(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "x" * 4000]) == 2
    said = one_sentence(capsys.readouterr().err)
    assert said.startswith("xxx")
    assert said.endswith("File name too long.")
    assert len(nearest("zzz", [f"name{i}" for i in range(1000)])) < 270


def test_warnings_and_the_log_are_lines_too() -> None:
    assert one_line("a\x1b[1m\n  b") == "warning: a\\x1b[1m b\n"
    record = logging.LogRecord("x", logging.INFO, "x", 1, "at %s\nb", ("\x1b[1m",), None)
    assert made_printable(record)
    assert record.getMessage() == "at \\x1b[1m\nb"


def test_a_warning_is_a_line_where_the_environment_would_make_it_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(warnings, "formatwarning", warnings.formatwarning)
        warnings.simplefilter("error")
        show_warnings(["error"])
        patch.setattr(warnings, "showwarning", lambda m, *_: sys.stderr.write(one_line(m)))
        warnings.warn("it may be slow", UserWarning, stacklevel=1)
        warnings.warn("it will change", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr().err == "warning: it may be slow\n"


@pytest.mark.parametrize("columns", ["0", "1", "x", "80"])
def test_a_table_is_wide_enough_to_be_read(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert console().width == 80


def test_rich_takes_no_text_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    console().print("[bold]a[/b] :smile:")
    tell("b", "a\udcff")
    assert capsys.readouterr().out == "[bold]a[/b] :smile:\nb\na\\udcff\n"
