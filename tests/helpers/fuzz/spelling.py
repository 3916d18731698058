"""What a bad use of the command line is, and how its options are spelt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import yaml

# A thing that goes wrong: the arguments, and what the sentence must hold of them.
Case = tuple[list[str], str]
Spell = Callable[[str, Any], list[str]]

DATA = ("--data", "NumpyFile", "--data.path", "images.npy")
FIT = ("fit", "--config", "vae", *DATA, "--trainer.max_epochs", "1")


def written(tree: Any, name: str) -> str:
    Path(name).write_text(yaml.safe_dump(tree))
    return name


def speller(random: Random) -> Spell:
    """Give an option by a flag, or by a config of its own."""

    def spell(option: str, value: Any) -> list[str]:
        text = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True)
        first, *rest = option.split(".")
        nested = first in ("trainer", "checkpoints", "seed_everything") and len(rest) < 2
        overridden = option == "trainer.max_epochs"  # by a flag of FIT
        if not nested or overridden or random.random() < 0.5:
            return [f"--{option}={text.splitlines()[0] if text else text}"]
        tree: Any = yaml.safe_load(text) if text else text
        for name in reversed([first, *rest]):
            tree = {name: tree}
        return ["--config", written(tree, f"config-{random.random()}.yaml")]

    return spell
