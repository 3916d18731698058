"""What a table is: rows, each an experiment by a shipped recipe, and the figures that it shows."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ae_lightning.core.config_files import read
from ae_lightning.inference.measures.figures import Figure

QUICK = """--trainer.max_epochs 1 --trainer.limit_train_batches 1 --trainer.limit_val_batches 1
--data.batch_size 8"""
FEW = {"samples": 2, "repeats": 1, "subset": 2, "labels": 64, "limit": 64}


@dataclass(frozen=True)
class Quantity:
    """A column: a figure of `evaluate`, times a number, plus another.

    Args:
        title: its head, with the unit.
        figure: its name in `evaluate`; a row may take another in its place.
        digits: how many are shown behind the point.
    """

    title: str
    figure: str
    times: float = 1.0
    plus: float = 0.0
    digits: int = 2

    def of(self, value: float) -> float:
        return self.times * value + self.plus


@dataclass(frozen=True)
class Experiment:
    """What a row trains and measures with one seed.

    Args:
        recipe: of ae_lightning/configs/recipes; or, with nothing to train, a function of the data.
        flags: words after it, on the command line of `fit`.
        ask: the arguments of `evaluate`.
    """

    recipe: str | Callable[[], list[Figure]]
    flags: Sequence[str]
    seed: int
    ask: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.recipe if isinstance(self.recipe, str) else self.recipe.__name__

    @property
    def words(self) -> list[str]:
        """The arguments of `ae-lightning`."""
        seed = ["--seed_everything", str(self.seed)]
        return ["fit", "--config", f"recipes/{self.name}", *self.flags, *seed]

    @property
    def training(self) -> str:
        """A digest of all that determines the training, but for the code: the recipe, and so on."""
        tree = read(f"recipes/{self.name}") if isinstance(self.recipe, str) else self.name
        return digest_of([tree, list(self.flags), self.seed])

    @property
    def digest(self) -> str:
        """A digest of the training and of what is measured."""
        return digest_of([self.training, dict(self.ask)])


def digest_of(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Row:
    """A line of a table: experiments that differ in their seed alone, and what was published.

    Rows of equal experiments share them: a baseline is measured by `evaluate` beside a model.

    Args:
        recipe, flags: see `Experiment`.
        published: figures by the title of their column.
        instead: the names of other figures, by the title of their column.
        why: why ours differ from the published ones.
        needs: how long it takes: it is then run only if asked for.
        seeds: the table's, if None.
    """

    name: str
    recipe: str | Callable[[], list[Figure]]
    flags: str = ""
    published: Mapping[str, float] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)
    why: str = ""
    needs: str = ""
    seeds: Sequence[int] | None = None


@dataclass(frozen=True)
class Table:
    """Rows that are measured alike.

    Args:
        name: of its file of results, and of the words after `make tables ONLY=…`.
        about: what is compared, and how; its source is that of all published figures.
        ask: the arguments of `evaluate`.
        quick: flags that make the recipes small, to try them.
    """

    name: str
    title: str
    about: str
    quantities: Sequence[Quantity]
    rows: Sequence[Row]
    ask: Mapping[str, Any]
    source: str = ""
    seeds: Sequence[int] = (0,)
    quick: str = ""

    def experiments(self, row: Row) -> list[Experiment]:
        """The experiments of a row, one a seed."""
        seeds = self.seeds if row.seeds is None else row.seeds
        flags = shlex.split(row.flags)
        return [Experiment(row.recipe, flags, seed, self.ask) for seed in seeds]

    def made_quick(self) -> Table:
        """The same of a batch and a few examples, each recipe once, to see that all of it works."""
        once = {row.recipe: row for row in reversed(self.rows)}.values()
        flags = f"{QUICK} {self.quick}"
        rows = [replace(r, flags=f"{r.flags} {flags}", needs="", seeds=(0,)) for r in once]
        return replace(self, rows=rows[::-1], ask={**self.ask, **FEW})
