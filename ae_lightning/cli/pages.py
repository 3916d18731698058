"""What --help shows: a first screen of what people set, and the rest by its section."""

import io
import re
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from itertools import groupby
from typing import Final

from ae_lightning.core.config_files import kind_and_purpose, shipped
from ae_lightning.core.errors import UsageError, nearest
from ae_lightning.core.printing import beside

SECTIONS: Final = ("trainer", "model", "data", "checkpoints", "all")
CHECKPOINT: Final = {
    "--run DIR": "the run, for its best checkpoint",
    "--ckpt_path FILE": "or this checkpoint",
    "--config NAME": "a config that changes what the checkpoint records",
}
FIRST: Final = {
    "fit": {
        "--config NAME": "a shipped config or a file; several add up",
        "--run DIR": "the run's directory; by default runs/<system>-<data>-<n>",
        "--resume [auto]": "continue the run in --run; auto: or start it there",
        "--init_from PATH": "start from the weights of a checkpoint or a run",
        "--model NAME": "the system; its arguments: --model.latent 8, --model.optimizer.lr 0.001",
        "--data NAME": "the data set; its arguments: --data.batch_size 64",
        "--seed_everything N": "the seed of weights, order and noise (0)",
        "--compile true": "compile encoder and decoder",
        "--print_config": "print the whole config, to pass to --config",
    },
    "validate": CHECKPOINT,
    "test": CHECKPOINT,
}
TRAINER: Final = {
    "--trainer.max_epochs N": "how long to train",
    "--trainer.devices N": "how many devices (auto)",
    "--trainer.accelerator NAME": "cpu, gpu, … (auto)",
    "--trainer.precision NAME": "32-true, bf16-mixed or 16-mixed",
    "--trainer.logger NAME": "WandbLogger, TensorBoardLogger, … beside metrics.csv",
}


def first_screen(command: str, purpose: str) -> str:
    """The options of a command that people set, and how to see the others."""
    rows = {**FIRST[command], **TRAINER}
    if command != "fit":
        del rows["--trainer.max_epochs N"]
    title = f"ae-lightning {command} …: {purpose}"
    lines = [title, "", *beside(rows, max(map(len, rows)) + 4)]
    return "\n".join([*lines, "", *shipped_names(), "", *others(command)])


def shipped_names() -> list[str]:
    """The shipped configs by their kinds."""
    known = sorted((kind_and_purpose(file)[0], name) for name, file in shipped().items())
    found = {kind: [name for _, name in each] for kind, each in groupby(known, lambda k: k[0])}
    listed = beside({kind: ", ".join(names) for kind, names in found.items()}, 12)
    return ["shipped configs (ae-lightning configs explains them):", *listed]


def others(command: str) -> list[str]:
    """Where the other options are explained."""
    asks = {
        "of a section": f"--help trainer, or {', '.join(SECTIONS[1:-1])}",
        "of a class": "--model.help VariationalAutoEncoder",
        "everything": "--help all",
    }
    rows = {what: f"ae-lightning {command} {option}" for what, option in asks.items()}
    return ["all options:", *beside(rows, 16)]


def asked_for(args: list[str]) -> str | None:
    """The section that --help names, "" if it names none, and None if it is not there."""
    for i, word in enumerate(args):
        if word in ("-h", "--help"):
            return next((w for w in args[i + 1 : i + 2] if not w.startswith("-")), "")
    return None


def section(name: str, command: Callable[[], object]) -> str:
    """The part of a command's whole help that explains one section.

    Raises:
        UsageError: if there is no such section.
    """
    if name not in SECTIONS:
        raise UsageError(f"--help {name}: {nearest(name, SECTIONS)}")
    with redirect_stdout(io.StringIO()) as out, suppress(SystemExit):
        command()
    _, *blocks = re.split(r"\n\n(?=\S)", out.getvalue())  # without the usage
    chosen = [b for b in blocks if name == "all" or f"\n  --{name}" in b]
    return "\n\n".join(chosen or ["this command takes none."]).rstrip()
