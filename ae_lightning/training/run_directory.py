"""A run is a directory: config.yaml, checkpoints/, metrics.csv, pictures/ and index.html.

checkpoints/ holds best.ckpt, and the two newest states to resume from, named by their step. Other
files there are their owner's: they are neither read nor removed.
"""

import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final, Self

from ae_lightning.core.errors import UsageError
from ae_lightning.core.files import PARTIAL, damage, set_aside
from ae_lightning.core.untrusted import inside
from ae_lightning.training.run_lock import RunLock

CONFIG: Final = "config.yaml"
CHECKPOINTS: Final = "checkpoints"
BEST: Final = "best.ckpt"
FINAL: Final = "final.ckpt"  # weights that a callback has changed when training had ended
METRICS: Final = "metrics.csv"
PAGE: Final = "index.html"  # of the callbacks' report
PICTURES: Final = "pictures"  # pictures/NAME/STEP.png
PLOTS: Final = "plots"  # what the command plot writes
RUN_ID: Final = "wandb_id"
FOLDERS: Final = (CHECKPOINTS, PICTURES, PLOTS, "wandb", "lightning_logs")

STATE: Final = re.compile(r"step-(\d{8,18})\.ckpt", re.ASCII)

HANDED_ON: Final = "AE_LIGHTNING_RUN"  # tells the processes that rank zero starts its directory


class NewRun:
    """Hold the directory of a new run, which is left as it was found if the run fails to start.

    Raises:
        UsageError: if it is in use, already contains a run or what a run would overwrite, or
            cannot be made.
    """

    def __init__(self, run: Path) -> None:
        self.run, self.made = run, [p for p in (run, *run.parents) if not p.exists()]
        self.lock = hold(run)
        try:
            refuse_contents(run)
        except UsageError:
            self.lock.release()
            raise
        self.found = set(run.iterdir())

    @classmethod
    def numbered(cls, name: str, root: Path = Path("runs")) -> Self:
        """Take the first free `root/name-n`, n = 1, 2, …, even if others do so at the same time."""
        made = [p for p in (root, *root.parents) if not p.exists()]
        for n in count(1):
            run = root / f"{name}-{n}"
            with suppress(FileExistsError):  # of two that come here, only one succeeds
                make(run, exist_ok=False)
                new = cls(run)
                new.made = [run, *made]
                return new
        raise AssertionError

    def withdraw(self) -> None:
        """Remove what was made here, and the folders that were made for it; then let others in."""
        for path in set(self.run.iterdir()) - self.found:
            whole = path.is_dir() and not path.is_symlink()
            shutil.rmtree(path) if whole else path.unlink()
        self.lock.release()
        for folder in self.made:
            with suppress(OSError):  # by now it may contain another run
                folder.rmdir()


def refuse_contents(run: Path) -> None:
    """Raise UsageError if a directory contains a run, or what a new one would overwrite."""
    if holds_run(run):
        raise UsageError(
            f"{run} already contains a run: add --resume to continue it, or choose another "
            "directory with --run."
        )
    refuse_links(run)
    for name in (METRICS, PAGE, PICTURES):
        if os.path.lexists(run / name):
            raise UsageError(
                f"{run} contains a {name}, which a run would overwrite: choose another directory "
                "with --run."
            )


def make(run: Path, exist_ok: bool) -> None:
    """Make a directory, or raise UsageError if that is impossible."""
    try:
        run.mkdir(parents=True, exist_ok=exist_ok)
    except OSError as error:
        if isinstance(error, FileExistsError) and not exist_ok:
            raise
        raise UsageError(f"a run cannot be kept in {run}: {error.strerror}.") from None


def hold(run: Path) -> RunLock:
    """Make the directory of a run, unless it exists, and hold it.

    Raises:
        UsageError: if another process holds it, or it cannot be made or written.
    """
    for last in (False, False, True):
        make(run, exist_ok=True)
        try:
            return RunLock(run)
        except OSError as error:
            # A run that fails to start may just have removed the directory that it had made.
            if last or not isinstance(error, FileNotFoundError):
                raise UsageError(f"a run cannot be kept in {run}: {error.strerror}.") from None
    raise AssertionError


def holds_run(run: Path) -> bool:
    """Whether a run was started here."""
    return (run / CONFIG).exists() or (run / CHECKPOINTS).is_dir()


def require_run(run: Path) -> Path:
    """Return the directory of a run.

    Raises:
        UsageError: if there is no run in it, or a folder of it is a link, which leads out of it.
    """
    if not holds_run(run):
        raise UsageError(f"{run} is not a run: it has neither {CONFIG} nor {CHECKPOINTS}.")
    refuse_links(run)
    return run


def refuse_links(run: Path) -> None:
    """Raise UsageError if a folder that a run writes into is a link, and so may be another's."""
    for name in FOLDERS:
        inside(run, name, run)


def state_name(step: int) -> str:
    """Return the file name of the state after this many optimizer steps.

    >>> state_name(1200)
    'step-00001200.ckpt'
    """
    return f"step-{step:08d}.ckpt"


def states(run: Path) -> list[Path]:
    """Return the states to resume from, newest first."""
    folder = run / CHECKPOINTS
    found = [p for p in folder.iterdir() if STATE.fullmatch(p.name)] if folder.is_dir() else []
    return sorted(found, key=step_of, reverse=True)


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
    for state in filter(os.path.lexists, [*states(run), run / CHECKPOINTS / BEST]):
        wrong = damage(state)
        if wrong is None:
            return state, skipped
        skipped[state] = wrong
    return None, skipped


def settle(run: Path, step: int) -> None:
    """Make room in the directory of a run that goes on after this step.

    Files that a crash has cut short are removed. States after this step, which the run has skipped,
    get another name, or they would count as its newest.
    """
    for path in (*run.glob("*"), *(run / CHECKPOINTS).glob("*")):  # neither need be there
        name = cut_short[1] if (cut_short := PARTIAL.fullmatch(path.name)) else ""
        if (name in (CONFIG, METRICS, PAGE, RUN_ID, BEST) or STATE.fullmatch(name)) and (
            path.is_file() or path.is_symlink()
        ):
            path.unlink()
    for state in states(run):
        if step_of(state) > step:
            set_aside(state, "damaged" if damage(state) else "former")


def rotate(run: Path, own: Iterable[str], kept: int) -> list[str]:
    """Remove all but the newest of the states that a run has saved itself, and return those."""
    files = [run / CHECKPOINTS / name for name in {*own} if STATE.fullmatch(name)]
    files = sorted(filter(Path.is_file, files), key=step_of)
    for file in files[:-kept]:
        file.unlink()
    return [file.name for file in files[-kept:]]


def best_checkpoint(run: Path) -> Path:
    """Return the best checkpoint of a run, or its newest if no validation has chosen one.

    Raises:
        UsageError: if the directory holds no checkpoint.
    """
    for file in (require_run(run) / CHECKPOINTS / BEST, *states(run)):
        if file.is_file():
            return file
    raise UsageError(f"{run} has no checkpoint yet.")


def checkpoint_of(path: Path) -> Path:
    """Return the best checkpoint of a run, or the path itself if it is a file.

    Raises:
        UsageError: if it is neither a run nor a file.
    """
    if not path.exists():
        kind = "no checkpoint" if path.suffix == ".ckpt" else "neither a run nor a checkpoint"
        raise UsageError(f"there is {kind} {path}.")
    return best_checkpoint(path) if path.is_dir() else path


def folder_of(checkpoint: Path) -> Path:
    """Return the run that a checkpoint belongs to, or its own folder if it lies outside any run."""
    folder = checkpoint.parent
    return folder.parent if folder.name == CHECKPOINTS else folder
