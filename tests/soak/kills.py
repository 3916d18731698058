"""Runs that are killed, and must end as if they had not been."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ae_lightning import runs
from soak import eventful
from soak.experiment import Failed, end, kill, start
from soak.faults import MOMENT, PLACES

KILLS, SECONDS = 20, 180.0
# How often each place is passed at most, and about, in the run below.
TIMES = {
    "batch": 64,
    "last_batch": 4,
    "validation": 32,
    "validation_end": 16,
    "writing": 18,
    "written": 40,
    "replaced": 18,
}


def sigkill() -> Iterator[str]:
    """Kill at random moments, once or twice in a row; resume; compare with a run left alone."""
    seed = int(os.environ.get("SOAK_SEED", random.randrange(10**6)))
    yield f"SOAK_SEED={seed}"
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = str(eventful.write(folder))
        run(folder, ["fit", "--config", config, "--run", "whole"])
        for n in range(KILLS):
            # Each place in turn, every fourth time by the clock, every third time twice in a row.
            places = [PLACES[n % len(PLACES)]] + [draw.choice(PLACES)] * (n % 3 == 2)
            moments = [f"{p}:{draw.randint(1, TIMES[p])}" for p in places]
            if n % 4 == 3:
                moments[0] = "clock"
            arguments = ["fit", "--config", config, "--run", str(n)]
            done = []
            for moment in moments:
                if moment == "clock":
                    killed = by_clock(folder, arguments, folder / str(n), draw)
                else:
                    killed = at_moment(folder, arguments, moment)
                if runs.holds_run(folder / str(n)):  # else it died before it was one
                    arguments = ["fit", "--run", str(n), "--resume"]
                done.append(moment if killed else f"{moment} (never came)")
            run(folder, arguments)
            if wrong := eventful.differences(folder / "whole", folder / str(n)):
                raise Failed(f"killed at {', then '.join(done)}: {', '.join(wrong)} differ")
            yield f"{n + 1:2} of {KILLS}: killed at {', then '.join(done)}: equal to the bit"


def at_moment(folder: Path, arguments: list[str], moment: str) -> bool:
    """Let a run kill itself; return whether it did."""
    code, said = end(start(arguments, folder, {MOMENT: moment}), SECONDS)
    if code not in (0, -9):
        raise Failed(f"{moment}: exit code {code}: {said}")
    return code == -9


def by_clock(folder: Path, arguments: list[str], place: Path, draw: random.Random) -> bool:
    """Kill a run from without, at a random time after its first state; return whether it ran."""
    process = start(arguments, folder)
    deadline = time.monotonic() + SECONDS
    while not runs.states(place) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(draw.uniform(0, 1.0))
    ran = process.poll() is None
    kill(process)
    return ran


def run(folder: Path, arguments: list[str]) -> None:
    """Run a command to its end."""
    code, said = end(start(arguments, folder), SECONDS)
    if code:
        raise Failed(f"{' '.join(arguments)}: exit code {code}: {said}")


EXPERIMENTS = {"sigkill": sigkill}
