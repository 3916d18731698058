"""A run is a directory: config.yaml, checkpoints/, metrics.csv, pictures/ and index.html.

checkpoints/ holds best.ckpt, and the two newest states to resume from, named by their step.
"""

import os
import shutil
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final, Self

from ae_lightning.core.errors import UsageError
from ae_lightning.core.files import damage

CONFIG: Final = "config.yaml"
CHECKPOINTS: Final = "checkpoints"
BEST: Final = "best.ckpt"
FINAL: Final = "final.ckpt"  # weights that a callback has changed when training had ended
METRICS: Final = "metrics.csv"
PAGE: Final = "index.html"  # of the callbacks' report

HANDED_ON: Final = "AE_LIGHTNING_RUN"  # tells the processes that rank zero starts its directory


class NewRun:
    """The directory of a new run, left as it was found if the run fails to start.

    Raises:
        UsageError: if it already contains a run, or cannot be made.
    """

    def __init__(self, run: Path) -> None:
        if holds_run(run):
            raise UsageError(
                f"{run} already contains a run: add --resume to continue it, or choose another "
                "directory with --run."
            )
        self.run, self.made = run, [p for p in (run, *run.parents) if not p.exists()]
        try:
            run.mkdir(parents=True, exist_ok=True)
            self.found = set(run.iterdir())
        except OSError as error:
            raise UsageError(f"a run cannot be kept in {run}: {error.strerror}.") from None

    @classmethod
    def numbered(cls, name: str, root: Path = Path("runs")) -> Self:
        """Take the first free `root/name-n`, n = 1, 2, …, even if others do so at the same time."""
        for n in count(1):
            run = root / f"{name}-{n}"
            if not run.exists():
                new = cls(run)
                with suppress(FileExistsError):  # of two that come here, only one succeeds
                    (run / CHECKPOINTS).mkdir()
                    return new
        raise AssertionError

    def withdraw(self) -> None:
        """Remove what was made here, and the folders that were made for it."""
        for path in set(self.run.iterdir()) - self.found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for folder in self.made:
            with suppress(OSError):  # by now it may contain another run
                folder.rmdir()


def holds_run(run: Path) -> bool:
    """Whether a run was started here."""
    return (run / CONFIG).exists() or (run / CHECKPOINTS).is_dir()


def require_run(run: Path) -> Path:
    """Return the directory of a run.

    Raises:
        UsageError: if there is no run in it.
    """
    if not holds_run(run):
        raise UsageError(f"{run} is not a run: it has neither {CONFIG} nor {CHECKPOINTS}.")
    return run


def state_name(step: int) -> str:
    """Return the file name of the state after this many optimizer steps.

    >>> state_name(1200)
    'step-00001200.ckpt'
    """
    return f"step-{step:08d}.ckpt"


def states(run: Path) -> list[Path]:
    """Return the states to resume from, newest first."""
    found = (run / CHECKPOINTS).glob("step-*.ckpt")
    return sorted((f for f in found if f == f.with_name(state_name(step_of(f)))), reverse=True)


def step_of(state: Path) -> int:
    """Return how many optimizer steps a state was saved after; -1 if that is not its name.

    >>> step_of(Path("step-00001200.ckpt")), step_of(Path("step-best.ckpt"))
    (1200, -1)
    """
    digits = state.stem.removeprefix("step-")
    return int(digits) if digits.isdecimal() else -1


def newest_state(run: Path) -> tuple[Path | None, dict[Path, str]]:
    """Find the newest state that verifies, and what is wrong with those skipped on the way to it.

    The best checkpoint is a state too, and the last to be tried.
    """
    skipped: dict[Path, str] = {}
    for state in filter(Path.exists, [*states(run), run / CHECKPOINTS / BEST]):
        wrong = damage(state)
        if wrong is None:
            return state, skipped
        skipped[state] = wrong
    return None, skipped


def set_aside(run: Path, step: int) -> None:
    """Rename the states after this step, which a run that resumes there has skipped.

    Otherwise they would count as its newest ones, and its own would be removed instead.
    """
    for state in states(run):
        if step_of(state) > step:
            os.replace(state, state.with_name(f"{state.name}.damaged"))


def best_checkpoint(run: Path) -> Path:
    """Return the best checkpoint of a run, or its newest if no validation has chosen one.

    Raises:
        UsageError: if the directory holds no checkpoint.
    """
    best = require_run(run) / CHECKPOINTS / BEST
    if best.exists():
        return best
    if found := states(run):
        return found[0]
    raise UsageError(f"{run} has no checkpoint yet.")


def checkpoint_of(path: Path) -> Path:
    """Return the best checkpoint of a run, or the path itself if it is a file.

    Raises:
        UsageError: if it is neither a run nor a file.
    """
    if not path.exists():
        raise UsageError(f"there is neither a run nor a checkpoint {path}.")
    return best_checkpoint(path) if path.is_dir() else path


def folder_of(checkpoint: Path) -> Path:
    """Return the run that a checkpoint belongs to, or its own folder if it lies outside any run."""
    folder = checkpoint.parent
    return folder.parent if folder.name == CHECKPOINTS else folder
