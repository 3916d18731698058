"""What the parser lets pass, and would fail later: checked before anything is built."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple

from lightning.pytorch.accelerators import AcceleratorRegistry as ACCELERATORS

from ae_lightning.cli.composition import Tree
from ae_lightning.cli.messages import empty_or_endless
from ae_lightning.core.errors import UsageError

# A launcher sets one of these; without any, no other node could find this one.
LAUNCHERS: Final = (
    *("MASTER_ADDR", "NODE_RANK", "GROUP_RANK", "SLURM_NTASKS", "LSB_JOBID"),
    *("OMPI_COMM_WORLD_SIZE", "PMI_SIZE"),
)
# Settled on the command line before configs are read, so that none can set them.
ONLY_OPTIONS: Final = ("run", "resume", "ckpt_path", "config", "debug")
UNITS: Final = {"weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds"}
DURATION: Final = re.compile(r"\d+:\d\d:\d\d:\d\d")


class Rule(NamedTuple):
    """What a value must be."""

    words: str
    holds: Callable[[Any], bool]


def whole(least: int, more: str = "") -> Rule:
    return Rule(f"a whole number of at least {least}{more}", lambda value: value >= least)


def is_duration(value: Any) -> bool:
    """Whether this is a time, as text or by the arguments of timedelta."""
    if isinstance(value, Mapping):
        numbers = all(isinstance(v, int | float) for v in value.values())
        return numbers and bool(value) and value.keys() <= UNITS
    return isinstance(value, timedelta) or bool(DURATION.fullmatch(str(value)))


PART = Rule(
    "a whole number of at least 0, or a part in [0.0, 1.0]",
    lambda value: value >= 0 and (isinstance(value, int) or value <= 1),
)
SOME = Rule(
    "a whole number of at least 1, or a part in (0.0, 1.0]",
    lambda value: PART.holds(value) and value > 0,
)
# Lightning takes these without a word, or with a traceback when it comes to use them.
TRAINER: Final = {
    "max_epochs": whole(-1, ", and -1 for no end"),
    "min_epochs": whole(0),
    "max_steps": whole(-1, ", and -1 for no end"),
    "min_steps": whole(0),
    "limit_train_batches": SOME,
    "limit_val_batches": PART,
    "limit_test_batches": PART,
    "limit_predict_batches": PART,
    "overfit_batches": PART,
    "check_val_every_n_epoch": whole(1),
    "num_sanity_val_steps": whole(-1, ", and -1 for all"),
    "log_every_n_steps": whole(0),
    "accumulate_grad_batches": whole(1),
    "num_nodes": whole(1),
    "reload_dataloaders_every_n_epochs": whole(0),
    "fast_dev_run": whole(0),
    "gradient_clip_val": Rule("a number of at least 0", lambda value: 0 <= value < math.inf),
    "gradient_clip_algorithm": Rule("norm or value", lambda value: value in ("norm", "value")),
    "val_check_interval": Rule(
        "a number of batches, at least 1, a part of an epoch in (0.0, 1.0], or a time DD:HH:MM:SS",
        lambda value: (
            bool(DURATION.fullmatch(value))
            if isinstance(value, str)
            else value > 0 and (isinstance(value, int) or value <= 1)
        ),
    ),
    "max_time": Rule("a time DD:HH:MM:SS", is_duration),
    "strategy": Rule(
        "ddp, since the others start their processes from within Python",
        lambda value: not re.match(r"ddp_(spawn|fork|notebook)", str(value)),
    ),
    "precision": Rule(
        "16-mixed or bf16-mixed, since sums over an image need more digits than 16 bits have",
        lambda value: value not in ("16-true", "bf16-true"),
    ),
}
RULES: Final = {
    "seed_everything": Rule("a whole number from 0 to 2^32 - 1", lambda value: 0 <= value < 2**32),
    "checkpoints.every_n_steps": whole(1),
    **{f"trainer.{name}": rule for name, rule in TRAINER.items()},
}


def check_configs(tree: Tree, flags: list[str]) -> None:
    """Refuse configs whose sections are none, and arguments that are null or infinite.

    Raises:
        UsageError: naming the first of these.
    """
    for name in ONLY_OPTIONS:
        if name in tree:
            raise UsageError(
                f"{name} stands in a config: give it on the command line, as --{name}."
            )
    for name in ("trainer", "checkpoints"):
        if not isinstance(section := tree.get(name) or {}, Mapping):
            raise UsageError(f"{name} is {section}: expected names with values.")
    if sentence := empty_or_endless(tree, flags):
        raise UsageError(sentence)


def check_settings(settings: Any) -> None:
    """Refuse what no run can be made with.

    Raises:
        UsageError: naming the option, its value, and what was expected.
    """
    for option, rule in RULES.items():
        value = settings.get(option)
        if value is not None and not rule.holds(value):
            raise UsageError(f"{option} is {value}: expected {rule.words}.")
    nodes = settings.trainer.num_nodes
    if nodes > 1 and not any(name in os.environ for name in LAUNCHERS):
        raise UsageError(
            f"trainer.num_nodes is {nodes}, and nothing says which of them this is: start each by "
            "torchrun or SLURM, or with MASTER_ADDR, MASTER_PORT and NODE_RANK set."
        )
    name = settings.trainer.accelerator
    if name in ACCELERATORS and not ACCELERATORS[name]["accelerator"].is_available():
        there = [n for n, entry in ACCELERATORS.items() if entry["accelerator"].is_available()]
        raise UsageError(
            f"trainer.accelerator is {name}, and there is none here: expected auto or "
            f"{' or '.join(there)}."
        )
