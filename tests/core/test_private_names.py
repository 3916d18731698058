"""What is taken from inside other libraries is looked for at import, and said when it has moved."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ae_lightning
from ae_lightning.core.errors import UsageError
from ae_lightning.core.private_names import private
from helpers.interpreter import python

ROOT = Path(ae_lightning.__file__).parents[1]
PUBLIC = {"_asdict", "_fields", "_replace", "_exit"}  # of a NamedTuple, and of os
PLACES = {"private.py", "uncompiled.py", "batch_loader.py", "messages.py", "formatting.py"}


@pytest.mark.parametrize(
    ("place", "names", "gone"),
    [
        ("torch.optim:Adam", ("step", "_leap"), r"torch [\d.]+\S* has no Adam\._leap"),
        ("torch.optim:Eve", (), r"torch [\d.]+\S* has no torch\.optim\.Eve"),
        (
            "lightning.pytorch.moons:Trainer",
            ("fit",),
            r"lightning \S+ has no lightning\.\S+\.moo",
        ),
        ("jsonargparse._common:parsing_settings", ("a",), r"jsonargparse \S+ has no parsing_setti"),
        ("argparse:ArgumentParser", ("_deeds",), r"Python 3\.\S+ has no ArgumentParser\._deeds"),
    ],
)
def test_what_has_moved_is_named_with_the_release(
    place: str, names: tuple[str, ...], gone: str
) -> None:
    with pytest.raises(UsageError, match=rf"^{gone}.*, which ae-lightning \S+ needs: install an"):
        private(place, *names)


def test_a_name_may_be_a_class_attribute_or_set_by_a_base_or_a_key() -> None:
    for place, name in (
        ("torch.nn:Linear", "_compiled_call_impl"),  # a class attribute of its base
        ("lightning.pytorch:Trainer", "_signal_connector"),  # in an __init__ that is decorated
        ("lightning.pytorch.callbacks:LearningRateMonitor", "logging_interval"),
        ("jsonargparse._common:parsing_settings", "import_path_verdicts"),
        ("torch.optim:AdamW", "_step_supports_amp_scaling"),  # by Adam's
    ):
        assert private(place, name) is not None


def test_a_release_that_has_moved_something_is_one_sentence_before_a_training() -> None:
    code = """
import sys, torch
del torch.nn.Module._compiled_call_impl
from ae_lightning.cli.main import main
sys.stderr = sys.stdout
print(main(["fit", "--config", "vae", "--config", "digits"]))
"""
    said = python("-c", code).splitlines()
    assert said[-2].startswith("ae-lightning: torch ")
    assert " has no Module._compiled_call_impl, which ae-lightning " in said[-2]
    assert said[-1] == "2"


def private_names(tree: ast.AST) -> Iterator[str]:
    """The names with an underscore that code takes from anything but self and cls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and hidden(node.attr):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if owner not in ("self", "cls"):
                yield node.attr
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            yield from filter(hidden, names)


def hidden(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC


def test_whatever_is_private_is_taken_in_few_files_which_look_for_it_at_import() -> None:
    rooms = [ROOT / name for name in ("ae_lightning", "datamodules", "callbacks")]
    for file in (file for room in rooms for file in room.rglob("*.py")):
        tree = ast.parse(file.read_text())
        if used := {*private_names(tree)}:
            assert file.name in PLACES, f"{file} takes {used}"
            texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
            assert used <= texts, f"{file} does not look for {used - texts}"
