"""Wrong uses of the command line, all of them, spelt anew by every seed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator

from helpers.jobs import TESTS
from soak.experiment import Failed

ROUNDS, SECONDS = 3, 600.0


def bad_configs() -> Iterator[str]:
    """Throw every bad config of the tests at the command line, in several spellings."""
    first = int(os.environ.get("SOAK_SEED", random.randrange(10**6)))
    for seed in range(first, first + ROUNDS):
        file = str(TESTS / "cli" / "test_fuzz.py")
        test = [sys.executable, "-m", "pytest", "-q", "--durations=0", file]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "SOAK_SEED": str(seed)}
        done = subprocess.run(
            test, env=environment, capture_output=True, text=True, timeout=SECONDS, cwd=TESTS.parent
        )
        if done.returncode:
            raise Failed(f"SOAK_SEED={seed}: {done.stdout}")
        yield f"SOAK_SEED={seed}: each is one sentence, exit code 2, and leaves nothing behind"


EXPERIMENTS = {"bad-configs": bad_configs}
