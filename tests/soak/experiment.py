"""What experiments share: a failure, and a command run in a process group of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]


class Failed(Exception):
    """What an experiment checks does not hold."""


def start(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start `ae-lightning` with these arguments, in a process group of its own."""
    path = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **(environment or {})}
    return subprocess.Popen(
        [sys.executable, "-m", "ae_lightning", *arguments],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def end(process: subprocess.Popen[str], seconds: float) -> tuple[int, str]:
    """Wait for a process; kill its whole group where it takes longer. Return its code and words."""
    try:
        said, _ = process.communicate(timeout=seconds)
    finally:
        kill(process)
    return process.returncode, said


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process and all that it started, and wait for it to be gone."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
