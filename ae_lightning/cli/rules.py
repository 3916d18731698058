"""What the parser and Lightning accept in silence, and a run would fail of later."""

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from lightning.pytorch import Callback

from ae_lightning.core.arguments import parameters_of
from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import locate
from ae_lightning.training.checkpoint_writing import Checkpoints

Rule = tuple[str, Callable[[Any], Any]]  # what a value must be, in words and as a condition
# A launcher sets one of these; without any, no other node could find this one.
LAUNCHERS: Final = {"MASTER_ADDR", "NODE_RANK", "GROUP_RANK", "SLURM_NTASKS", "LSB_JOBID"}
LAUNCHERS_OF_MPI: Final = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}
DURATION: Final = re.compile(r"\d+:\d\d:\d\d:\d\d")
CHECKPOINTS: Final = f"{Checkpoints.__module__}.{Checkpoints.__name__}"
SPANS: Final = {"weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds"}


def minimum(least: int, more: str = "") -> Rule:
    return f"a whole number of at least {least}{more}", lambda v: v >= least


def part(v: float) -> bool:
    return v >= 0 and (isinstance(v, int) or v <= 1)


def number_of(devices: Any) -> float:
    """How many devices are asked for: a number, a list, or either as text; 0 if it is no number.

    >>> number_of(3), number_of([0, 1]), number_of("0, 1"), number_of("3"), number_of("auto")
    (3.0, 2, 2, 3.0, 0)
    """
    if isinstance(devices, list):
        return len(devices)
    text = str(devices)
    return (
        text.strip(", ").count(",") + 1 if "," in text else float(text) if text.isdecimal() else 0
    )


# A process of its own for each of them, which more than one a core only slows down.
MOST_DEVICES: Final = max(16, os.cpu_count() or 1)
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
    "devices": (
        f"at most {MOST_DEVICES}, of which each takes a process",
        lambda v: number_of(v) <= MOST_DEVICES,
    ),
    "num_nodes": (
        "1, unless torchrun, SLURM or MASTER_ADDR, MASTER_PORT and NODE_RANK tell the nodes apart",
        lambda v: v == 1 or (1 < v < 2**16 and os.environ.keys() & (LAUNCHERS | LAUNCHERS_OF_MPI)),
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
    tree = settings.as_dict()
    if "checkpoints" in tree:
        tree["checkpoints"] = {"class_path": CHECKPOINTS, "init_args": tree["checkpoints"]}
    for sentence in unusable(tree):
        raise UsageError(sentence)
    for option, (words, holds) in RULES.items():
        if (value := settings.get(option)) is not None and not holds(value):
            raise UsageError(f"{option} is {value}: expected {words}.")


def unusable(node: Any, option: str = "") -> Iterator[str]:
    """Say which arguments are null, infinite or huge and may not be, which the parser lets pass."""
    several: dict[Any, Any] = dict(enumerate(node)) if isinstance(node, list) else {}
    named = node if isinstance(node, Mapping) else several
    cls = locate(named["class_path"]) if "class_path" in named else None
    if cls is Callback:  # which the parser makes of {}, and which does nothing
        yield f"{option} has no class: expected class_path, as in class_path: EarlyStopping."
    known = parameters_of(cls) if cls else {}
    for name, value in named.get("init_args", named).items():
        place = f"{option}.{name}".lstrip(".")
        yield from unusable(value, place)
        if isinstance(value, int) and value.bit_length() > 64:
            yield f"{place} has more than 64 bits: expected a smaller number."
        if found := known.get(name):
            needed = not re.search("None|Optional|Any", f"{found.default} {found.annotation}")
            if value is None and needed and found.default is not found.empty:
                yield f"{place} is null, and it needs a value: leave it out for its default."
            if isinstance(value, float) and not math.isfinite(value) and value != found.default:
                yield f"{place} is {value}: expected a finite number."
