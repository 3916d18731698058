"""Processes that start at once, by forking from a server that has imported all there is."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from helpers.ports import free_port

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["ae_lightning.cli.fit", "ae_lightning.datamodules"])
OUTPUT = "output.txt"


def call(function: Callable[..., Any], *arguments: Any, seconds: float = 120) -> int:
    """Call a function in a process of its own, and return the exit code; -9 is SIGKILL's."""
    (code,) = call_all(function, [arguments], seconds)
    return code


def call_all(
    function: Callable[..., Any], each: Sequence[Sequence[Any]], seconds: float = 120
) -> list[int]:
    """Call a function in several processes at once, one for each list of arguments."""
    processes = [CONTEXT.Process(target=function, args=arguments) for arguments in each]
    for process in processes:
        process.start()
    deadline = time.monotonic() + seconds
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
    late = [i for i, process in enumerate(processes) if process.exitcode is None]
    for i in late:
        processes[i].kill()
        processes[i].join()
    if late:
        raise AssertionError(f"process {late} of {len(each)} still running after {seconds} s")
    return [process.exitcode or 0 for process in processes]


def ae_lightning(
    folder: Path, arguments: Sequence[str], environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run the command line in a folder; return its exit code and what it said."""
    code = call(_main, folder, list(arguments), dict(environment or {}), OUTPUT)
    return code, (folder / OUTPUT).read_text()


def ranks(
    folder: Path, arguments: Sequence[str], each: Sequence[Mapping[str, str]]
) -> tuple[list[int], list[str]]:
    """The same as ranks of one training, with one environment for each, as a cluster starts them.

    Returns:
        Each rank's exit code, and what it said.
    """
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": str(len(each)),
    }
    outputs = [f"rank-{rank}.txt" for rank in range(len(each))]
    jobs = [
        (folder, list(arguments), {**shared, "LOCAL_RANK": str(rank), "NODE_RANK": "0", **own}, out)
        for rank, (own, out) in enumerate(zip(each, outputs, strict=True))
    ]
    codes = call_all(_main, jobs)
    return codes, [(folder / out).read_text() for out in outputs]


def _main(folder: Path, arguments: list[str], environment: dict[str, str], output: str) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    import torch

    torch.set_num_threads(1)
    from ae_lightning.cli.main import main

    with open(output, "w", buffering=1) as file, redirect_stdout(file), redirect_stderr(file):
        code = main(arguments)
    sys.exit(code)
