"""The examples of the packages that lie beside ae_lightning; pytest finds those within it."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import ae_lightning.callbacks
import ae_lightning.datamodules

# Found as files, they would be imported once more, under names that users do not see.
MODULES = [
    module.name
    for package in (ae_lightning.callbacks, ae_lightning.datamodules)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name: str) -> None:
    assert doctest.testmod(import_module(name)).failed == 0


def test_some_modules_have_examples() -> None:
    assert sum(doctest.testmod(import_module(name)).attempted for name in MODULES) > 20
