"""Tests and claims as witnesses, each in a process that has torch imported already."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from mutants.mutant import Mutant, plant

SECONDS = 1800.0  # until a witness is stopped
HEAVY = ["torch", "lightning.pytorch", "torchmetrics", "jsonargparse", "matplotlib.figure"]
# An error of the table, such as a name that is not there, would else be seen by every witness.
BROKEN = re.compile(r"\b(Name|UnboundLocal|Import|ModuleNotFound|Syntax)Error\b")

forks = get_context("forkserver")  # an import of torch takes longer than most tests
forks.set_forkserver_preload([*HEAVY, "pytest"])


class Testimony(NamedTuple):
    """What a witness said: whether it saw an error, or None if it could not testify."""

    saw: bool | None
    seconds: float
    words: str


def hear(witness: str, mutant: Mutant | None = None) -> Testimony:
    """Run a witness on a copy of the library, with a mutant's error in it if one is given."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        tree = plant(folder / "tree", mutant)
        process = forks.Process(target=speak, args=(tree, witness, folder / "words"))
        process.start()
        process.join(SECONDS)
        if process.is_alive():
            assert process.pid is not None
            os.killpg(process.pid, signal.SIGKILL)  # and what it started
            process.join()
        words = (folder / "words").read_text() if (folder / "words").exists() else ""
    saw = {0: False, 1: None if BROKEN.search(words) else True}.get(process.exitcode or 0)
    return Testimony(saw, time.monotonic() - began, f"{words}\nexit code {process.exitcode}")


def speak(tree: Path, witness: str, words: Path) -> None:
    """Run a witness in this process, and exit: with 0 if all holds, 1 if something does not."""
    os.setsid()
    file = os.open(words, os.O_CREAT | os.O_WRONLY)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.chdir(tree)
    sys.path.insert(0, str(tree))  # before the installed package
    os.environ |= {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    kind, *arguments = shlex.split(witness)
    if kind == "theory":
        sys.exit(prove_one(*arguments))
    import pytest

    sys.exit(pytest.main([f"tests/{kind}", *arguments, "-x", "-p", "no:cacheprovider"]))


def prove_one(name: str) -> int:
    """Prove one claim, as `ae-lightning theory NAME` does, up to the first check that fails."""
    import torch

    from ae_lightning.theory import claim
    from ae_lightning.theory.proof import Check, Skip

    torch.set_num_threads(1)
    torch.manual_seed(0)
    try:
        for result in claim(name).run(seed=0):
            if isinstance(result, Check) and not result.proved:
                print(result)
                return 1
    except Skip as reason:
        print(reason)
        return 5
    return 0
