"""What the parser and Lightning accept in silence, and a run would fail of later."""

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from ae_lightning.core.arguments import parameters_of
from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import locate

Rule = tuple[str, Callable[[Any], Any]]  # what a value must be, in words and as a condition
# A launcher sets one of these; without any, no other node could find this one.
LAUNCHERS: Final = {"MASTER_ADDR", "NODE_RANK", "GROUP_RANK", "SLURM_NTASKS", "LSB_JOBID"}
LAUNCHERS_OF_MPI: Final = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}
DURATION: Final = re.compile(r"\d+:\d\d:\d\d:\d\d")
SPANS: Final = {"weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds"}


def minimum(least: int, more: str = "") -> Rule:
    return f"a whole number of at least {least}{more}", lambda v: v >= least


def part(v: float) -> bool:
    return v >= 0 and (isinstance(v, int) or v <= 1)


PART: Final = ("a whole number of at least 0, or a part in [0.0, 1.0]", part)
SOME: Final = ("a whole number of at least 1, or a part in (0.0, 1.0]", lambda v: v and part(v))
TRAINER_RULES: Final[dict[str, Rule]] = {
    **dict.fromkeys(("max_epochs", "max_steps"), minimum(-1, ", and -1 for no end")),
    "num_sanity_val_steps": minimum(-1, ", and -1 for all"),
    **dict.fromkeys(("min_epochs", "min_steps", "log_every_n_steps", "fast_dev_run"), minimum(0)),
    "reload_dataloaders_every_n_epochs": minimum(0),
    **dict.fromkeys(("check_val_every_n_epoch", "accumulate_grad_batches"), minimum(1)),
    "limit_train_batches": SOME,
    **{f"{n}_batches": PART for n in ("limit_val", "limit_test", "limit_predict", "overfit")},
    "gradient_clip_val": ("a number of at least 0", lambda v: 0 <= v < math.inf),
    "gradient_clip_algorithm": ("norm or value", lambda v: v in ("norm", "value")),
    "val_check_interval": (
        "a number of batches, at least 1, a part of an epoch in (0.0, 1.0], or a time DD:HH:MM:SS",
        lambda v: DURATION.fullmatch(v) if isinstance(v, str) else v and part(v),
    ),
    "max_time": (
        "a time DD:HH:MM:SS",
        lambda v: v and v.keys() <= SPANS if isinstance(v, Mapping) else DURATION.fullmatch(str(v)),
    ),
    "num_nodes": (
        "1, unless torchrun, SLURM or MASTER_ADDR, MASTER_PORT and NODE_RANK tell the nodes apart",
        lambda v: v == 1 or (v > 1 and os.environ.keys() & (LAUNCHERS | LAUNCHERS_OF_MPI)),
    ),
    "strategy": (
        "ddp, since the others start their processes from within Python",
        lambda v: not re.match(r"ddp_(spawn|fork|notebook)", str(v)),
    ),
    "precision": (
        "16-mixed or bf16-mixed, since sums over an image need more digits than 16 bits have",
        lambda v: v not in ("16-true", "bf16-true"),
    ),
}
RULES: Final[dict[str, Rule]] = {
    "seed_everything": ("a whole number from 0 to 2^32 - 1", lambda v: 0 <= v < 2**32),
    "checkpoints.every_n_steps": minimum(1),
    **{f"trainer.{name}": rule for name, rule in TRAINER_RULES.items()},
}


def check_settings(settings: Any) -> None:
    """Refuse what no run can be made with.

    Raises:
        UsageError: naming the option, its value, and what was expected.
    """
    for option, (words, holds) in RULES.items():
        if (value := settings.get(option)) is not None and not holds(value):
            raise UsageError(f"{option} is {value}: expected {words}.")
    for sentence in unusable(settings.as_dict()):
        raise UsageError(sentence)


def unusable(node: Any, option: str = "") -> Iterator[str]:
    """Say which arguments are null or infinite and may not be, which the parser lets pass."""
    node = node if isinstance(node, Mapping) else {}
    known = parameters_of(locate(node["class_path"])) if "class_path" in node else {}
    for name, value in node.get("init_args", node).items():
        place = f"{option}.{name}".lstrip(".")
        yield from unusable(value, place)
        if found := known.get(name):
            needed = not re.search("None|Optional|Any", f"{found.default} {found.annotation}")
            if value is None and needed and found.default is not found.empty:
                yield f"{place} is null, and it needs a value: leave it out for its default."
            if isinstance(value, float) and not math.isfinite(value) and value != found.default:
                yield f"{place} is {value}: expected a finite number."
