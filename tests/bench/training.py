"""Whole training runs against other ways of writing them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from . import hand
from .data import images, mnist_root
from .measure import Case, Goal, alternate
from .product import BARE, CONV_128, CONV_512, MLP_128, MLP_512, Setting, fit, fit_apart, run_apart


def against_hand(
    goal: float, settings: Iterable[Setting], root: Path, **trainer: object
) -> list[Case]:
    """Speed of `fit` over the speed of the hand loop: seconds a step, inverted."""
    from ae_lightning.training.allocator import keep_freed_memory

    keep_freed_memory()
    x = images(root)
    cases = []
    for setting in settings:
        rounds = alternate(
            {
                "hand": lambda s=setting: hand.train(x, s.conv, s.batch, s.steps)[0],
                "fit": lambda s=setting: fit(s, root, **trainer)[0],
            }
        )
        cases.append(Case(setting.name, rounds.ratios("hand", "fit"), goal, foreign=rounds.foreign))
    return cases


def shipped() -> Goal:
    """`fit` as the command line ships it, against the hand loop, MLP, batch 128.

    Seconds a training step of `ae-lightning fit --config vae --config mnist` on a terminal, with
    its callbacks, metrics file, checkpoints and progress bar: from on_train_epoch_start to
    on_train_epoch_end, less validation (see `clock`), over one epoch. Against the seconds a step
    of `hand.train`: the same networks and objective, uint8 images in memory, index_select, fused
    Adam, over equally many batches, in the same process under the same allocator settings.
    """
    with mnist_root() as root:
        return Goal("shipped", "fit as shipped / hand loop", against_hand(0.85, [MLP_128], root))


def bare() -> Goal:
    """Train as `shipped` does, but without metrics file, checkpoints and progress bar."""
    with mnist_root() as root:
        return Goal(
            "bare", "fit laid bare / hand loop", against_hand(0.93, [MLP_128], root, **BARE)
        )


def settings() -> Goal:
    """Train as shipped in three other settings."""
    with mnist_root() as root:
        cases = against_hand(0.95, [MLP_512, CONV_128, CONV_512], root)
        return Goal("settings", "fit as shipped / hand loop", cases)


def elsewhere(
    module: str, setting: Setting, root: Path, *more: str, python: str = sys.executable
) -> float:
    """Seconds a step of a script that trains in a process of its own."""
    words = ["conv" if setting.conv else "mlp", str(setting.batch), str(setting.steps), str(root)]
    out = run_apart(["-m", f"bench.{module}", *words, *more], python=python)
    return float(out.rpartition("seconds a step:")[2])


def typical() -> Goal:
    """`fit` as shipped against what a typical user writes, each in a process of its own."""
    with mnist_root() as root:
        cases = []
        for setting, goal in ((MLP_128, 3.0), (CONV_128, 1.5)):
            rounds = alternate(
                {
                    "fit": lambda s=setting: fit_apart(s, root, {}),
                    "typical": lambda s=setting: elsewhere("typical", s, root),
                },
                warm=False,
            )
            ratios = rounds.ratios("typical", "fit")
            cases.append(Case(setting.name, ratios, goal, foreign=rounds.foreign))
        return Goal("typical", "fit as shipped / a typical user's", cases)
