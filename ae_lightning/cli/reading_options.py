"""The options that say how image files are read, called as for `fit`: --data.unreadable skip."""

from typing import Any, get_type_hints

from docstring_parser import parse

from ae_lightning.datamodules import ImageFolder
from ae_lightning.inference.reading import Reading


def add_reading(parser: Any, into: str) -> None:
    """Let a parser take them, and keep them under a name."""
    page = parse(ImageFolder.__doc__ or "")
    described = {argument.arg_name: argument.description for argument in page.params}
    group = parser.add_argument_group("image files are read as in training, unless told otherwise")
    for name, kind in get_type_hints(Reading).items():
        options = {"dest": f"{into}.{name}", "type": kind | None, "default": None}
        group.add_argument(f"--data.{name}", help=described[name], **options)


def reading_of(given: Any) -> Reading:
    """Return those that were given."""
    found: Any = {name: value for name, value in vars(given).items() if value is not None}
    reading: Reading = found
    return reading
