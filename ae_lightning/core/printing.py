"""All that is printed goes through here, on any terminal, and shows what names contain."""

import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from shutil import get_terminal_size
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

from ae_lightning.core.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")
NARROWEST: Final = 20  # columns
LONGEST_LINE: Final = 5000  # characters, of which the path of a file may need 4096


def tell(*lines: object, file: TextIO | None = None) -> None:
    r"""Print lines at once, on stdout by default; what no terminal shows is printed as escapes.

    >>> tell("a\x1b[31m", "b\nc")
    a\x1b[31m
    b\nc
    """
    print(*(printable(str(line), LONGEST_LINE) for line in lines), sep="\n", file=file, flush=True)


def counted(n: int, thing: str) -> str:
    """Return a number of things.

    >>> counted(1, "image"), counted(2000, "image")
    ('1 image', '2,000 images')
    """
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def beside(texts: Mapping[str, str], left: int, columns: int | None = None) -> list[str]:
    """Return names in a first column of `left` characters, and their texts in a second.

    Args:
        columns: of both; as many as the terminal has if None.

    >>> beside({"fit": "train any system on any data", "test": "measure"}, 8, columns=28)
    ['  fit   train any system on', '        any data', '  test  measure']
    """
    columns = max(columns or get_terminal_size().columns, left + NARROWEST)
    lines = []
    for name, text in texts.items():
        first = f"  {name:{left - 4}}  {text}"
        lines += wrap(first, columns, subsequent_indent=" " * left, break_on_hyphens=False)
    return lines


def console() -> "Console":
    """Return a rich console that takes no text for markup; texts pass `printable` before."""
    from rich.console import Console

    screen = Console(markup=False, emoji=False, highlight=False)
    if screen.width < NARROWEST:  # as COLUMNS says where it knows no better
        screen.width = 80
    return screen


def tracked(each: Iterable[T], title: str | None, number: int) -> Iterable[T]:
    """Go through `number` things, with the progress shown in a terminal.

    Args:
        title: what stands beside it; None to show nothing.
    """
    from rich import get_console
    from rich.progress import track

    if title is None or not get_console().is_terminal:
        return each
    return track(each, title, number, transient=True)


def use_streams() -> None:
    """Give this process the streams that it was started without, and characters to all of them.

    A file opened in the place of a closed stream would receive what C libraries print.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(handle)
    for name, mode in {"stdin": "r", "stdout": "w", "stderr": "w"}.items():
        if (stream := getattr(sys, name)) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def abandon_stdout() -> None:
    """Let all that is printed go nowhere from now on: stdout is closed, or its disk is full."""
    handle = os.open(os.devnull, os.O_WRONLY)
    os.dup2(handle, sys.stdout.fileno())
    os.close(handle)


def show_warnings(options: Iterable[str]) -> None:
    """Print each warning as one line, also where PYTHONWARNINGS would raise an error instead.

    Args:
        options: Python's own, `sys.warnoptions`.
    """
    warnings.formatwarning = one_line
    if any(option.startswith("error") for option in options):  # libraries warn all the time
        warnings.resetwarnings()
        for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", kind)


def one_line(message: Warning | str, *_: Any, **__: Any) -> str:
    """Return a warning as it is printed."""
    return f"warning: {printable(' '.join(str(message).split()))}\n"
