"""A whole number is read as one, in whatever order typing gives an option's types."""

from typing import Any

import pytest
from jsonargparse import ArgumentParser

from ae_lightning.cli.messages import whole_numbers_first


class Before:
    """What an earlier library may leave in typing's cache: a number, or else a whole one."""

    def __init__(
        self, limit: float | int | None = None, every: float | int | str | None = None
    ) -> None:
        self.limit, self.every = limit, every


@pytest.mark.parametrize("name", ["limit", "every"])
@pytest.mark.parametrize(("text", "value"), [("1", 1), ("1.0", 1.0), ("0.5", 0.5), ("null", None)])
def test_one_batch_is_not_all_of_them(name: str, text: str, value: Any) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Before)
    whole_numbers_first(parser)
    found = parser.parse_args([f"--{name}", text])[name]
    assert (found, type(found)) == (value, type(value))
