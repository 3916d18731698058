"""What comes from a file is untrusted until it is checked, and this is where it is checked."""

from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from ae_lightning.core.errors import UsageError, printable

T = TypeVar("T")
LONGEST_NAME: Final = 200  # bytes, which every file system takes


def conform(kind: type[T], value: object, source: object) -> T:
    """Return a value if it is of a type, down to what it contains; nothing is converted.

    Args:
        kind: any type that pydantic checks: a TypedDict, a dataclass, `dict[str, int]`, …
        value: what a file holds.
        source: the file, for the sentence.

    Raises:
        UsageError: naming the first place in the value that is wrong, and what was expected there.

    >>> conform(dict[str, list[int]], {"a": [1, 2]}, "index.json")
    {'a': [1, 2]}
    >>> conform(dict[str, list[int]], {"a": [1, "2"]}, "index.json")
    Traceback (most recent call last):
        ...
    ae_lightning.core.errors.UsageError: index.json: a.1 is '2': input should be a valid integer.
    """
    from pydantic import ValidationError

    hashable: Any = kind
    try:
        checked: T = _adapter(hashable).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"])) or "its content"
        given = "" if first["type"] == "missing" else f" is {printable(repr(first['input']), 60)}"
        said = first["msg"].removeprefix("Value error, ").rstrip(".")
        said = said[0].lower() + said[1:]
        raise UsageError(printable(f"{source}: {place}{given}: {said}.")) from None
    return checked


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def inside(folder: Path, name: object, source: object) -> Path:
    """Return the path of a file in a folder, by a name that comes from a file.

    Args:
        folder: the folder that the path may not leave.
        name: a file name, or several that are joined by slashes.
        source: where the name comes from, for the sentence.

    Raises:
        UsageError: if the name is not text, is empty, absolute or too long, contains `..`, a
            backslash, a colon or a control character, or leads through a symbolic link.

    >>> inside(Path("run"), "pictures/codes.png", "page.json").as_posix()
    'run/pictures/codes.png'
    >>> inside(Path("run"), "../codes.png", "page.json")
    Traceback (most recent call last):
        ...
    ae_lightning.core.errors.UsageError: page.json names '../codes.png': expected a file's name.
    """
    parts = name.split("/") if isinstance(name, str) else [""]
    plain = all(
        part not in ("", ".", "..")
        and part.isprintable()
        and not set(part) & {"\\", ":"}
        and len(part.encode(errors="replace")) <= LONGEST_NAME
        for part in parts
    )
    if not plain:
        raise UsageError(f"{source} names {printable(repr(name), 80)}: expected a file's name.")
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise UsageError(f"{path} is a symbolic link: expected a file or a folder.")
    return path
