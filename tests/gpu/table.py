"""One table of what was measured, which is JSON too."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.measure import number


@dataclass(frozen=True)
class Row:
    """A figure, and what it should be: at least `goal`, or at most.

    Args:
        values: what was measured in every round, of which the median counts.
        note: what the figure was made of.
    """

    name: str
    case: str
    values: list[float] = field(default_factory=list)
    goal: float | None = None
    at_most: bool = False
    note: str = ""

    @property
    def median(self) -> float | None:
        return median(self.values) if self.values else None

    @property
    def verdict(self) -> str:
        if self.median is None:
            return "skipped"
        if self.goal is None:
            return ""
        return (
            "met"
            if (self.median <= self.goal if self.at_most else self.median >= self.goal)
            else "short"
        )

    def __str__(self) -> str:
        figure = "" if self.median is None else number(self.median)
        spread = f"{number(min(self.values))}–{number(max(self.values))}" if self.values[1:] else ""
        goal = "" if self.goal is None else f"{'≤' if self.at_most else '≥'} {number(self.goal)}"
        cells = f"{self.name:<9}{self.case:<34}{figure:>9}  {spread:<17}{goal:<10}{self.verdict:<8}"
        return f"{cells}{self.note}".rstrip()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"median": self.median, "verdict": self.verdict}
