"""Processes that start at once, by forking from a server that has imported all there is."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["ae_lightning.commands.fit", "ae_lightning.datamodules"])
OUTPUT = "output.txt"


def call(function: Callable[..., Any], *arguments: Any, seconds: float = 120) -> int:
    """Call a function in a process of its own, and return the exit code; -9 is SIGKILL's."""
    process = CONTEXT.Process(target=function, args=arguments)
    process.start()
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"still running after {seconds} s")
    return process.exitcode


def ae_lightning(
    folder: Path, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run the command line in a folder; return its exit code and what it said."""
    code = call(_main, folder, list(arguments), dict(environment or {}))
    return code, (folder / OUTPUT).read_text()


def _main(folder: Path, arguments: list[str], environment: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    import torch

    torch.set_num_threads(1)
    from ae_lightning.cli import main

    with open(OUTPUT, "w", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
        code = main(arguments)
    sys.exit(code)
