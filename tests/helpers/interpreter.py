"""Python in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path


def python(*arguments: str, folder: Path | None = None, **environment: str) -> str:
    """Run Python to a good end, and return what it prints."""
    return streams(*arguments, folder=folder, **environment)[0]


def streams(*arguments: str, folder: Path | None = None, **environment: str) -> tuple[str, str]:
    """The same, and what it says on stderr."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, done.stderr
