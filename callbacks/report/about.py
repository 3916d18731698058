"""What a page says of how a run was made: by which command, when, with what, and how far it got."""

import os
import platform
import re
import shlex
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import ae_lightning
from ae_lightning.core.files import read_text
from ae_lightning.training.directions import Mode, known_mode

from .history import MONITOR, History, best_step

PROGRAMS: Final = ("ae-lightning", "__main__.py")
PACKAGES: Final = ("ae-lightning", "torch", "lightning")
LONGEST_REFERENCE: Final = 10**6  # bytes
COMMIT: Final = re.compile(r"[\da-f]{40}|[\da-f]{64}")


def about(run: Path, config: Mapping[str, Any], history: History) -> dict[str, str]:
    """What there is to say, by name; what is not known is left out.

    Args:
        run: the directory of the page.
        config: that of the run, for its seed and for what chooses the best checkpoint.
        history: the run's metrics.
    """
    places = Path.cwd(), Path(ae_lightning.__file__).parent
    commits = dict.fromkeys(commit[:10] for place in places if (commit := commit_of(place)))
    found = {
        "name": run.resolve().name,
        "command": command(sys.argv),
        "date": f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
        "seed": seed(config),
        "versions": versions(),
        "commit": ", ".join(commits),
        "best step": best(config, history),
    }
    return {name: text for name, text in found.items() if text}


def command(words: list[str]) -> str:
    """The command line as one would write it, or nothing if this is no command of ours.

    >>> command(["/usr/bin/ae-lightning", "fit", "--config", "my vae.yaml"])
    "ae-lightning fit --config 'my vae.yaml'"
    """
    ours = bool(words) and Path(words[0]).name in PROGRAMS
    return shlex.join(["ae-lightning", *words[1:]]) if ours else ""


def seed(config: Mapping[str, Any]) -> str:
    """The seed of weights, order and noise: the config's, or else the one set by Lightning."""
    return str(config.get("seed_everything", os.environ.get("PL_GLOBAL_SEED", "")))


def versions() -> str:
    """Those of Python and of the packages that a result depends on most."""
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


def commit_of(folder: Path) -> str | None:
    """The commit of the git checkout that a folder lies in, if any, read without running git."""
    root = next((p for p in (folder, *folder.parents) if (p / ".git").exists()), None)
    if root is None:
        return None
    with suppress(OSError, ValueError):
        git = root / ".git"
        if git.is_file():  # of a worktree
            git = root / _read(git).removeprefix("gitdir: ").strip()
        head = _read(git / "HEAD").strip()
        if not head.startswith("ref: "):
            return head if COMMIT.fullmatch(head) else None
        name = head.removeprefix("ref: ")
        shared = git / _read(git / "commondir").strip() if (git / "commondir").exists() else git
        if (shared / name).is_file():
            found = _read(shared / name).strip()
        else:
            packed = _read(shared / "packed-refs").splitlines()
            found = next((line.split()[0] for line in packed if line.endswith(f" {name}")), "")
        return found if COMMIT.fullmatch(found) else None
    return None


def _read(file: Path) -> str:
    return read_text(file, LONGEST_REFERENCE)


def monitor(config: Mapping[str, Any]) -> tuple[str, Mode]:
    """What a run's best checkpoint is chosen by, and whether the least or the most is best."""
    checkpoints = config.get("checkpoints")
    given = checkpoints if isinstance(checkpoints, Mapping) else {}
    name = str(given.get("monitor") or MONITOR)
    return name, "max" if "max" in (given.get("mode"), known_mode(name)) else "min"


def best(config: Mapping[str, Any], history: History) -> str:
    """At which step the best validation was, and what it reached."""
    name, mode = monitor(config)
    step = best_step(history, name, mode)
    if step is None:
        return ""
    value = f"{dict(history[name])[step]:.5g}".replace("-", "−")
    return f"{step:,} ({name} {value})"
