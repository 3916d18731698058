"""A run is a directory: config.yaml, checkpoints/, metrics.csv and pictures/.

checkpoints/ holds best.ckpt, and the two newest states to resume from, named by their step.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final

from ae_lightning.core.errors import UsageError
from ae_lightning.training.atomic import damage as damage
from ae_lightning.training.atomic import replacing

CONFIG: Final = "config.yaml"
CHECKPOINTS: Final = "checkpoints"
BEST: Final = "best.ckpt"
METRICS: Final = "metrics.csv"
PAGE: Final = "index.html"  # the callbacks' report

HANDED_ON: Final = "AE_LIGHTNING_RUN"  # tells the processes that rank zero starts its directory


class Claim:
    """A new run's directory, left as it was found where the run fails to start.

    Raises:
        UsageError: where it holds a run already, or cannot be made.
    """

    def __init__(self, run: Path) -> None:
        if holds_run(run):
            raise UsageError(
                f"{run} holds a run: add --resume to go on with it, or name another by --run."
            )
        self.run, self.made = run, [p for p in (run, *run.parents) if not p.exists()]
        try:
            run.mkdir(parents=True, exist_ok=True)
            self.found = set(run.iterdir())
        except OSError as error:
            raise UsageError(f"no run can be kept in {run}: {error.strerror}.") from None

    @classmethod
    def numbered(cls, name: str, root: Path = Path("runs")) -> Claim:
        """Claim the first free `root/name-n`, n = 1, 2, …, where others may do so at once."""
        for n in count(1):
            run = root / f"{name}-{n}"
            if not run.exists():
                claim = cls(run)
                try:
                    (run / CHECKPOINTS).mkdir()  # of two that come here, one gets it
                except FileExistsError:
                    continue
                return claim
        raise AssertionError

    def withdraw(self) -> None:
        """Remove what was made here, and the folders that were made for it."""
        for path in set(self.run.iterdir()) - self.found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for folder in self.made:
            with suppress(OSError):  # another run lies in it by now
                folder.rmdir()


def holds_run(run: Path) -> bool:
    """Whether a run was started here."""
    return (run / CONFIG).exists() or (run / CHECKPOINTS).is_dir()


def demand(run: Path) -> Path:
    """Return a run's directory.

    Raises:
        UsageError: where there is no run in it.
    """
    if not holds_run(run):
        raise UsageError(f"{run} holds no run: {CONFIG} and {CHECKPOINTS} are not there.")
    return run


def write(file: Path, text: str) -> None:
    """Write a whole text file, or leave the former one."""
    with replacing(file) as opened:
        opened.write(text.encode())


def state_name(step: int) -> str:
    """The file name of the state after this many optimizer steps.

    >>> state_name(1200)
    'step-00001200.ckpt'
    """
    return f"step-{step:08d}.ckpt"


def states(run: Path) -> list[Path]:
    """The states to resume from, newest first."""
    return sorted((run / CHECKPOINTS).glob("step-*.ckpt"), reverse=True)


def step_of(state: Path) -> int:
    """How many optimizer steps a state was saved after.

    >>> step_of(Path("step-00001200.ckpt"))
    1200
    """
    return int(state.stem.removeprefix("step-"))


def newest_state(run: Path) -> tuple[Path | None, dict[Path, str]]:
    """Find the newest state that verifies, and what is wrong with those passed over for it.

    The best checkpoint is a state too, and the last to be asked.
    """
    passed: dict[Path, str] = {}
    best = run / CHECKPOINTS / BEST
    for state in [*states(run), *([best] if best.exists() else [])]:
        wrong = damage(state)
        if wrong is None:
            return state, passed
        passed[state] = wrong
    return None, passed


def set_aside(run: Path, step: int) -> None:
    """Rename the states after this step, which a run that goes on from there has passed over.

    They would count as its newest, and its own be removed in their favour.
    """
    for state in states(run):
        if step_of(state) > step:
            os.replace(state, state.with_name(f"{state.name}.damaged"))


def best_checkpoint(run: Path) -> Path:
    """The best checkpoint of a run, or its newest where no validation has chosen one.

    Raises:
        UsageError: where the directory holds no checkpoint.
    """
    best = demand(run) / CHECKPOINTS / BEST
    if best.exists():
        return best
    if found := states(run):
        return found[0]
    raise UsageError(f"{run} holds no checkpoint yet.")


def folder_of(checkpoint: Path) -> Path:
    """The run that a checkpoint lies in, or the checkpoint's own folder where it lies in none."""
    folder = checkpoint.parent
    return folder.parent if folder.name == CHECKPOINTS else folder


def first_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this is the process of rank zero, as its launcher says, before training starts."""
    ranks = ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK")
    return all(int(environment.get(name, 0)) == 0 for name in ranks)


def launched_apart(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a launcher started several processes, so that none of them can tell the others."""
    several = any(int(environment.get(name, 1)) > 1 for name in ("WORLD_SIZE", "SLURM_NTASKS"))
    return several or not first_process(environment)
