"""What the package imports is what it declares, so that no bound is left to another's."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ae_lightning

ROOT = Path(ae_lightning.__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OWN = {"ae_lightning"} | set(sys.stdlib_module_names)
# By one picture, which names it, and within a notebook, which brings it.
ASKED_FOR = {"umap", "IPython"}


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def imported() -> set[str]:
    """The distributions whose packages are imported anywhere in the package."""
    rooms = [ROOT / name for name in ("ae_lightning", "datamodules", "callbacks")]
    modules: set[str] = set()
    trees = [ast.parse(file.read_text()) for room in rooms for file in room.rglob("*.py")]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules.add(node.module or "")
    tops = {module.partition(".")[0] for module in modules} - OWN - ASKED_FOR
    providers = packages_distributions()
    return {canonicalize_name(providers[top][0]) for top in tops}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    extras = [r for e, r in PROJECT["optional-dependencies"].items() if e != "dev"]
    assert imported() - names([*chain(*extras)]) == names(PROJECT["dependencies"])


def test_every_requirement_has_a_lowest_version() -> None:
    every = [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]
    unbounded = {r.name for r in map(Requirement, every) if ">=" not in str(r.specifier)}
    assert unbounded <= {PROJECT["name"]}
