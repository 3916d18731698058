"""What every claim is: a statement, an experiment that can fail, and a wrong version that must."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Check:
    """A measured figure held against its bound."""

    what: str  # what was measured, with its unit
    value: float
    at_most: float | None = None
    at_least: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the value lies within its bounds; NaN never does."""
        low = -float("inf") if self.at_least is None else self.at_least
        high = float("inf") if self.at_most is None else self.at_most
        return low <= self.value <= high


@dataclass(frozen=True)
class Outcome:
    """What an experiment found: checks that must hold, counter-checks of which each must fail."""

    checks: list[Check]
    counter: list[Check]
    figure: Figure

    @property
    def proved(self) -> bool:
        """Every check holds and every counter-check fails."""
        return all(c.holds for c in self.checks) and not any(c.holds for c in self.counter)


class Claim(ABC):
    """One claim of the notes, stated right."""

    name: ClassVar[str]  # as on the command line
    title: ClassVar[str]
    statement: ClassVar[str]  # one sentence
    formula: ClassVar[str]  # in matplotlib's math text
    source: ClassVar[str]  # authors, year, title
    correction: ClassVar[str] = ""  # where the notes were loose or wrong
    wrong_version: ClassVar[str]  # the counter-case in a sentence
    caption: ClassVar[str]  # how to read the picture

    @abstractmethod
    def run(self, seed: int) -> Outcome:
        """Carry out the experiment and its counter-case."""
