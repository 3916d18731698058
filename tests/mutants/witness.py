"""Tests and claims as witnesses, each in a process that has torch imported already."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import tempfile
import time
import traceback
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from mutants.mutant import Mutant, plant

SECONDS = 1800.0  # until a witness is stopped
HEAVY = ["torch", "lightning.pytorch", "torchmetrics", "jsonargparse", "matplotlib.figure", "pytest"]
# An error of the table, such as a name that is not there, would else be seen by every witness.
BROKEN = re.compile(r"\b(NameError|UnboundLocalError|ImportError|ModuleNotFoundError|SyntaxError)\b")

forks = get_context("forkserver")  # an import of torch takes longer than most tests
forks.set_forkserver_preload(HEAVY)


class Testimony(NamedTuple):
    """What a witness said: whether it saw an error, or None if it could not testify."""

    saw: bool | None
    seconds: float
    words: str


def testify(witness: str, mutant: Mutant | None = None) -> Testimony:
    """Run a witness on a copy of the library, with a mutant's error in it if one is given."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        tree = plant(folder / "tree", mutant)
        process = forks.Process(target=speak, args=(tree, witness, folder / "words"))
        process.start()
        process.join(SECONDS)
        if process.is_alive():
            os.killpg(process.pid or 0, signal.SIGKILL)
            process.join()
        words = (folder / "words").read_text() if (folder / "words").exists() else ""
    saw = {0: False, 1: None if BROKEN.search(words) else True}.get(process.exitcode or 0)
    return Testimony(saw, time.monotonic() - began, f"{words}\nexit code {process.exitcode}")


def speak(tree: Path, witness: str, words: Path) -> None:
    """Run a witness in this process, and exit: 0 if all holds, 1 if not, others if it cannot say."""
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

    options = ["-x", "-q", "-p", "no:cacheprovider", "--durations=0"]
    sys.exit(pytest.main([f"tests/{kind}", *arguments, *options]))


def prove_one(name: str) -> int:
    """Prove one claim, as `ae-lightning theory NAME` does, but in this process."""
    from ae_lightning.cli.theory import carry_out

    try:
        proof = carry_out(name, seed=0)
    except Exception:
        traceback.print_exc()
        return 3
    for check in proof.checks:
        print("holds" if check.proved else "FAILS", check.what, check.value, check.bound, check.wrong)
    return 5 if proof.skipped else 0 if proof.proved else 1
