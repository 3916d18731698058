"""Runs that are killed, stopped or damaged, and must end as if they had not been."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ae_lightning.core.files import damage
from ae_lightning.training import run_directory
from helpers.jobs import Job
from soak import eventful
from soak.experiment import Failed
from soak.faults import MOMENT, PLACES

KILLS, STOPS, FLIPS, SECONDS = 20, 8, 6, 180.0
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
    with whole_run() as (folder, config, draw):
        yield f"SOAK_SEED={draw.seed_given}"
        for n in range(KILLS):
            # Each place in turn, every fourth time by the clock, every third time twice in a row.
            twice = n % 3 == 2
            moments = [moment(draw, PLACES[n % len(PLACES)], 0.5 if twice else 0.9)]
            if twice:
                moments.append(moment(draw, draw.choice(PLACES), 0.4))
            if n % 4 == 3:
                moments[0] = "clock"
            arguments = ["fit", "--config", config, "--run", str(n)]
            for when in moments:
                if when == "clock":
                    by_clock(folder, arguments, folder / str(n), draw)
                else:
                    at_moment(folder, arguments, when)
                if run_directory.holds_run(folder / str(n)):  # else it died before it was one
                    arguments = ["fit", "--run", str(n), "--resume", *eventful.TRUST]
            run(folder, arguments)
            compare(folder, str(n), f"killed at {', then '.join(moments)}")
            yield f"{n + 1:2} of {KILLS}: killed at {', then '.join(moments)}: equal to the bit"


def signals() -> Iterator[str]:
    """Stop at random moments by SIGTERM and Ctrl-C, twice in a row; resume; compare."""
    with whole_run() as (folder, config, draw):
        yield f"SOAK_SEED={draw.seed_given}"
        for n in range(STOPS):
            arguments, done = ["fit", "--config", config, "--run", str(n)], []
            for place, share in ((PLACES[n % len(PLACES)], 0.5), (draw.choice(PLACES), 0.4)):
                name = draw.choice(["SIGTERM", "SIGINT"])
                when = f"{moment(draw, place, share)}:{name}"
                code, said = ae_lightning(arguments, folder, {MOMENT: when}).end(SECONDS)
                if code != 128 + signal.Signals[name]:
                    raise Failed(f"{when}: exit code {code}: {said}")
                if said.splitlines()[-1] == f"ae-lightning fit --run {n} --resume --trust soak":
                    arguments = ["fit", "--run", str(n), "--resume", *eventful.TRUST]
                elif "nothing is kept" not in said:
                    raise Failed(f"{when}: it does not say how to continue: {said}")
                done.append(when)
            run(folder, arguments)
            compare(folder, str(n), f"stopped at {', then '.join(done)}")
            yield f"{n + 1:2} of {STOPS}: stopped at {', then '.join(done)}: equal to the bit"


def flipped() -> Iterator[str]:
    """Flip a byte of the newest state, or of both; the damage is named, and costs nothing."""
    with whole_run() as (folder, config, draw):
        yield f"SOAK_SEED={draw.seed_given}"
        at_moment(folder, ["fit", "--config", config, "--run", "stopped"], "batch:40")
        for n in range(FLIPS):
            name = str(n)
            shutil.copytree(folder / "stopped", folder / name)
            damaged = run_directory.states(folder / name)[: 1 + n % 2]
            for state in damaged:
                content = bytearray(state.read_bytes())
                place = draw.randrange(len(content))
                content[place] ^= 1 << draw.randrange(8)
                state.unlink()  # best.ckpt may be the same file
                state.write_bytes(content)
            said = run(folder, ["fit", "--run", name, "--resume", *eventful.TRUST])
            for state in damaged:
                if f"{state.relative_to(folder)} is skipped: " not in said:
                    raise Failed(f"byte {place} of {state.name} is not found: {said}")
            compare(folder, name, f"with {len(damaged)} states damaged")
            yield f"{n + 1:2} of {FLIPS}: {len(damaged)} damaged, byte {place}: equal to the bit"


def full_disk() -> Iterator[str]:
    """Train on a disk with too little room for three states; make room, and go on."""
    with whole_run() as (folder, config, _):
        state = run_directory.states(folder / "whole")[0].stat().st_size
        for room in (1.4, 1.7, 2.0):
            small = folder / f"small-{room}"
            small.mkdir()
            size = int(room * state) + 32 * 1024
            mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(small)]
            done = subprocess.run(mount, capture_output=True, text=True, check=False)
            if done.returncode:
                yield f"skipped: no small disk can be made here: {done.stderr.strip()}"
                return
            try:
                name = str(small / "run")
                code, said = ae_lightning(["fit", "--config", config, "--run", name], folder).end(
                    SECONDS
                )
                lost = "the last state could not be saved" in said
                if code != lost or (room < 1.5 and not lost) or "cannot be written" not in said:
                    raise Failed(f"a full disk: exit code {code}: {said}")
                for kept in run_directory.states(Path(name)):
                    if wrong := damage(kept):
                        raise Failed(f"{kept} was left damaged: {wrong}")
                grow = ["mount", "-o", "remount,size=64m", str(small)]
                subprocess.run(grow, check=True)
                if lost:
                    run(folder, ["fit", "--run", name, "--resume", *eventful.TRUST])
                compare(folder, name, "on a full disk")
                end_of_it = "went on when there was room" if lost else "found room at its end"
                yield f"a disk of {size / 1024:.0f} KiB: {end_of_it}: equal to the bit"
            finally:
                subprocess.run(["umount", str(small)], check=False)


class Draw(random.Random):
    """Random numbers of a seed that is told, so that a failure can be repeated."""

    def __init__(self) -> None:
        self.seed_given = int(os.environ.get("SOAK_SEED", random.randrange(10**6)))
        super().__init__(self.seed_given)


@contextmanager
def whole_run() -> Iterator[tuple[Path, str, Draw]]:
    """A folder with a run that was left alone, its config, and a source of moments."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = str(eventful.write(folder))
        run(folder, ["fit", "--config", config, "--run", "whole"])
        yield folder, config, Draw()


def moment(draw: random.Random, place: str, share: float) -> str:
    """A random time of a place, within this share of what a run has left of them."""
    return f"{place}:{1 + int(draw.uniform(0, share) * TIMES[place])}"


def ae_lightning(
    arguments: list[str], folder: Path, environment: Mapping[str, str] | None = None
) -> Job:
    return Job(["ae_lightning", *arguments], folder, environment)


def compare(folder: Path, name: str, what: str) -> None:
    if wrong := eventful.differences(folder / "whole", folder / name):
        raise Failed(f"{what}: {', '.join(wrong)} differ")


def at_moment(folder: Path, arguments: list[str], when: str) -> None:
    """Let a run kill itself."""
    code, said = ae_lightning(arguments, folder, {MOMENT: when}).end(SECONDS)
    if code != -signal.SIGKILL:
        raise Failed(f"{when}: exit code {code}, where it was to be killed: {said}")


def by_clock(folder: Path, arguments: list[str], place: Path, draw: random.Random) -> None:
    """Kill a run from without, at a random time after its first state; sooner if it had ended."""
    seconds = 1.0
    for _ in range(9):
        job = ae_lightning(arguments, folder)
        deadline = time.monotonic() + SECONDS
        while (
            not run_directory.states(place)
            and job.process.poll() is None
            and time.monotonic() < deadline
        ):
            time.sleep(0.02)
        time.sleep(draw.uniform(0, seconds))
        ran = job.process.poll() is None
        job.clear()
        if ran:
            return
        shutil.rmtree(place)
        seconds /= 2
    raise Failed("the run ended each time before it could be killed by the clock")


def run(folder: Path, arguments: list[str]) -> str:
    """Run a command to its end, and return what it said."""
    code, said = ae_lightning(arguments, folder).end(SECONDS)
    if code:
        raise Failed(f"{' '.join(arguments)}: exit code {code}: {said}")
    return said


EXPERIMENTS = {
    "sigkill": sigkill,
    "signals": signals,
    "flipped": flipped,
    "full_disk": full_disk,
}
