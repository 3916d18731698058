"""Data modules import heavy packages where they use them, and hold what they name."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

from ae_lightning import datamodules

HEAVY = {"torchvision", "sklearn", "PIL", "rich", "matplotlib", "wandb", "litdata"}
ROOMS = {"core", "corruptions"}


def imports_of(file: Path) -> list[tuple[str, bool]]:
    """Every module that a file imports, and whether it does so when it is imported itself."""
    tree = ast.parse(file.read_text())
    found = []
    for node in ast.walk(tree):
        top = node in tree.body
        if isinstance(node, ast.Import):
            found += [(alias.name, top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append((node.module or "", top))
    return found


FILES = sorted(Path(datamodules.__file__).parent.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_heavy_packages_are_imported_where_they_are_used(file):
    for module, at_the_top in imports_of(file):
        package, _, rest = module.partition(".")
        assert not (at_the_top and package in HEAVY), f"{file.name} imports {module}"
        if package == "ae_lightning":
            assert rest.partition(".")[0] in ROOMS, f"{file.name} imports {module}"


def test_every_data_set_is_offered_by_the_package():
    for file in Path(datamodules.__file__).parent.glob("[!_]*.py"):
        module = import_module(f"ae_lightning.datamodules.{file.stem}")
        own = (c for c in vars(module).values() if getattr(c, "__module__", "") == module.__name__)
        for kind in own:
            final = isinstance(kind, type) and not kind.__subclasses__()
            if final and issubclass(kind, datamodules.PairDataModule):
                assert getattr(datamodules, kind.__name__) is kind
