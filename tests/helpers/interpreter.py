"""Python in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path


def python(*arguments: str, folder: Path | None = None, **environment: str) -> str:
    """Run Python to a good end, and return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
