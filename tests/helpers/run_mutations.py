"""Mutations of a run's directory: what a stranger may have put there, or a user."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

PRECIOUS = "not,yours\n1,2\n"  # what lies outside the run, and must stay

Mutation = Callable[[Path], None]


def remove(path: Path) -> Path:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def every(run: Path, pattern: str) -> list[Path]:
    """The files of a pattern; the path itself if there are none."""
    return [*run.glob(pattern)] or [run / pattern]


def link(pattern: str, to: str = "") -> Mutation:
    """Put links, to the precious file if to nothing else, in the place of these files."""

    def mutate(run: Path) -> None:
        for path in every(run, pattern):
            remove(path).symlink_to(to or run.parent / "outside" / "precious")

    return mutate


def link_out(folder: str) -> Mutation:
    """Move a folder out of the run, and leave a link."""

    def mutate(run: Path) -> None:
        target = run.parent / "outside" / Path(folder).name
        if (run / folder).exists():
            shutil.move(run / folder, target)
        target.mkdir(exist_ok=True)
        (run / folder).symlink_to(target)

    return mutate


def pipe(pattern: str) -> Mutation:
    def mutate(run: Path) -> None:
        for path in every(run, pattern):
            os.mkfifo(remove(path))

    return mutate


def content(pattern: str, data: bytes | Callable[[bytes], bytes]) -> Mutation:
    def mutate(run: Path) -> None:
        for path in every(run, pattern):
            new = data if isinstance(data, bytes) else data(path.read_bytes())
            remove(path).write_bytes(new)

    return mutate


def folder(pattern: str) -> Mutation:
    def mutate(run: Path) -> None:
        for path in every(run, pattern):
            remove(path).mkdir()
            (path / "mine.txt").write_text(PRECIOUS)

    return mutate


def gone(name: str) -> Mutation:
    return lambda run: remove(run / name) and None


METRICS, BEST, NEWEST = "metrics.csv", "checkpoints/best.ckpt", "checkpoints/step-00000002.ckpt"
STATES = "checkpoints/*.ckpt"
LINK = "is a symbolic link"

# Through which every command must go on; and what fit says of it, if it needs to be said.
ANYWHERE: dict[str, tuple[Mutation, str]] = {
    "codes link": (link("codes.npz", "outside/new"), ""),
    "config link": (link("config.yaml"), "config"),
    "config to zero": (link("config.yaml", "/dev/zero"), "config"),
    "config to nothing": (link("config.yaml", "nothing"), "config"),
    "config pipe": (pipe("config.yaml"), "config"),
    "config folder": (folder("config.yaml"), "config"),
    "W&B id link": (link("wandb_id"), ""),
    "partial link": (link("checkpoints/.best.ckpt.01234567.partial"), ""),
    "newest state pipe": (pipe(NEWEST), "step-00000002.ckpt is skipped: it is not a regular file"),
    "newest state to zero": (link(NEWEST, "/dev/zero"), "skipped: it is not a regular file"),
    "newest state to nothing": (link(NEWEST, "nothing"), "skipped: No such file"),
    "newest state folder": (folder(NEWEST), "skipped: it is not a regular file"),
    "newer state pipe": (pipe("checkpoints/step-00000099.ckpt"), "it is not a regular file"),
    "newer state of text": (content("checkpoints/step-00000099.ckpt", b"mine"), "skipped: "),
    "best pipe": (pipe(BEST), ""),
    "best folder": (folder(BEST), ""),
    "best to zero": (link(BEST, "/dev/zero"), ""),
}
# The same, of what is drawn and what is read to be drawn.
DRAWN: dict[str, tuple[Mutation, str]] = {
    "page link": (link("index.html"), ""),
    "page folder": (folder("index.html"), ""),
    "page of plots folder": (folder("plots/index.html"), ""),
    "picture folder": (folder("pictures/curves/2.png"), ""),
    "page of plots link": (link("plots/index.html"), ""),
    "picture link": (link("pictures/curves/*.png"), ""),
    "next picture link": (link("pictures/curves/4.png"), ""),
    "folder of a picture link": (link_out("pictures/curves"), LINK),
    "metrics link": (link(METRICS), "does not begin with the names of metrics"),
    "metrics to zero": (link(METRICS, "/dev/zero"), "is not a regular file"),
    "metrics to nothing": (link(METRICS, "nothing"), "holds 0 of the"),
    "metrics pipe": (pipe(METRICS), "is not a regular file"),
    "metrics folder": (folder(METRICS), "is not a regular file"),
    "metrics gone": (gone(METRICS), "holds 0 of the"),
    "metrics empty": (content(METRICS, b""), "holds 0 of the"),
    "metrics foreign": (content(METRICS, b"a,b\n1,2\n"), "does not begin with the names"),
    "metrics binary": (content(METRICS, bytes(range(256))), "does not begin with the names"),
    "metrics not UTF-8": (content(METRICS, b"step,epoch,caf\xe9\n1,2,3\n"), "holds 1 of the"),
    "metrics of another code": (
        content(METRICS, lambda text: text.decode().encode("utf-16")),
        "does not begin with the names",
    ),
    "metrics twice": (content(METRICS, b"step,epoch,a,a\n1,2,3,4\n"), "each once"),
    "metrics without a header": (
        content(METRICS, lambda text: text.partition(b"\n")[2]),
        "does not begin with the names",
    ),
    "metrics shorter": (content(METRICS, lambda t: t[: t.index(b"\n") + 1]), "holds 0 of the"),
    "metrics with a bad row": (content(METRICS, lambda t: t + b"x\0y\n"), "has 1 rows that cannot"),
    "metrics of text": (content(METRICS, b"epoch,step,val/mse\n0,1,much\n0,x,2\n"), "has 1 rows"),
    "metrics with a long value": (content(METRICS, lambda t: t + b"9" * 200_000 + b"\n"), "1 rows"),
    "metrics with formulas": (
        content(METRICS, lambda text: text.replace(b"train/rate", b"train/$\\frac$")),
        "",
    ),
    "picture pipe": (pipe("pictures/curves/2.png"), ""),
    "picture of no step": (content("pictures/curves/²².png", b"mine"), ""),
    "picture of a huge step": (content(f"pictures/curves/{'9' * 200}.png", b"mine"), ""),
    "picture of text": (content("pictures/mine/7.png", b"mine"), "lacks pictures/mine/7.png"),
    "pictures elsewhere": (link_out("pictures/mine"), ""),
}
# Which fit refuses, or every command, with a sentence that says this.
REFUSED: dict[str, tuple[Mutation, str]] = {
    "checkpoints link": (link_out("checkpoints"), f"run/checkpoints {LINK}"),
    "pictures link": (link_out("pictures"), f"run/pictures {LINK}"),
    "plots link": (link_out("plots"), f"run/plots {LINK}"),
    "W&B link": (link_out("wandb"), f"run/wandb {LINK}"),
    "no state": (pipe(STATES), "it is not a regular file|has no checkpoint yet"),
    "states to zero": (link(STATES, "/dev/zero"), "it is not a regular file|has no checkpoint yet"),
    "states of others": (link(STATES), "its end is missing|is not a checkpoint"),
}
REFUSED_BY_FIT: dict[str, tuple[Mutation, str]] = {
    "lock link": (link(".lock"), f"run/.lock {LINK}"),
    "lock pipe": (pipe(".lock"), "is not a regular file"),
    "lock folder": (folder(".lock"), "a run cannot be kept in run"),
}
