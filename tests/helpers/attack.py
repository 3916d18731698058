"""Run a command against a stranger's files, and watch what Python itself reports that it does."""

import os
import sys
from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ae_lightning.cli.main import main
from ae_lightning.core.errors import UsageError

CANARY = "canary"  # a module in the working folder that nothing but an attack names
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "pty.spawn")
# Events whose first arguments are the paths that they change, and how many of them are.
CHANGES = {
    **{"os.remove": 1, "os.mkdir": 1, "os.rmdir": 1, "os.truncate": 1, "os.chmod": 1},
    **{"os.rename": 2, "os.symlink": 2, "os.link": 2, "shutil.rmtree": 1},
}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass
class Watch:
    """What happened between a command's start and its end."""

    changed: list[Path] = field(default_factory=list)
    imported: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    unpickled: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes | os.PathLike) and flags & WRITES:
                self.change(path)
        elif event in CHANGES:
            for path in arguments[: CHANGES[event]]:
                self.change(path)
        elif event == "import":
            self.imported.append(arguments[0])
        elif event == "pickle.find_class":
            self.unpickled.append(".".join(arguments))
        elif event in STARTS:
            self.started.append(f"{event} {arguments}")
        elif event == "socket.connect":
            self.connected.append(str(arguments[1]))

    def change(self, path: Any) -> None:
        if not isinstance(path, int):
            self.changed.append(Path(os.path.abspath(os.fsdecode(path))))

    def outside(self, *allowed: Path) -> list[Path]:
        """The changed paths that lie in none of these folders, devices apart."""
        folders = [*allowed, Path("/dev"), Path("/proc")]
        return [p for p in self.changed if not any(p.is_relative_to(f) for f in folders)]


_watching: list[Watch] = []  # at most one
_installed: list[Any] = []  # an audit hook cannot be removed


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching:
        _watching[0].see(event, arguments)


def watched(act: Callable[[], Any]) -> tuple[Any, Watch]:
    """Do something in this process; return its result, or the UsageError it raised, and a watch."""
    if _hook not in _installed:
        sys.addaudithook(_hook)
        _installed.append(_hook)
    watch = Watch()
    _watching.append(watch)
    try:
        return act(), watch
    except UsageError as error:
        return error, watch
    finally:
        _watching.clear()


def command(*arguments: str, folder: Path) -> tuple[int, Watch]:
    """Run a command in this process and this working folder; return its exit code, and a watch."""
    with chdir(folder):
        return watched(lambda: main(arguments))


def harmless(watch: Watch, *allowed: Path) -> None:
    """Assert that nothing was changed outside these folders, and nothing of an attacker's ran."""
    assert watch.outside(*allowed) == []
    assert [name for name in watch.imported if name.partition(".")[0] == CANARY] == []
    assert watch.started == []
    assert watch.connected == []


def one_sentence(text: str) -> str:
    """Assert that a command said one short printable sentence on stderr, and return it."""
    [line] = [one for one in text.splitlines() if not one.startswith("warning: ")]
    assert line.startswith("ae-lightning: "), line
    assert len(line) <= 440, f"{len(line)} characters: {line}"
    assert line.isprintable(), repr(line)
    assert "unexpected" not in line, line
    assert "Traceback" not in line
    return line.removeprefix("ae-lightning: ")
