"""Costs taken in alternation, with an eye on whoever else uses the machine."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Self

ROUNDS = 5
QUIET = 0.1  # cores that others may use in a round that counts
TRIES = 1.6  # times as many rounds at most, where others disturb


class Foreign:
    """The CPU cores that other processes use meanwhile; `cores` is 0 where /proc is not there.

    All CPU time that was not idle, less what this process and its reaped children used.
    """

    def __enter__(self) -> Self:
        self._before = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        wall, busy, own = (b - a for a, b in zip(self._before, self._now(), strict=True))
        self.cores = max(0.0, busy - own) / wall

    @staticmethod
    def _now() -> tuple[float, float, float]:
        own = sum(os.times()[:4])
        try:
            with open("/proc/stat") as file:
                ticks = [int(t) for t in file.readline().split()[1:9]]
        except OSError:
            return time.perf_counter(), own, own
        user, nice, system, _idle, _iowait, irq, softirq, steal = ticks
        busy = user + nice + system + irq + softirq + steal
        return time.perf_counter(), busy / os.sysconf("SC_CLK_TCK"), own


@dataclass
class Rounds:
    """What each of several costs was in every round that counts, and how much others used."""

    costs: dict[str, list[float]]
    foreign: float  # cores, in the worst of these rounds

    def ratios(self, over: str, under: str) -> list[float]:
        """The ratio of two costs in every round."""
        return [a / b for a, b in zip(self.costs[over], self.costs[under], strict=True)]


def alternate(costs: dict[str, Callable[[], float]], warm: bool = True) -> Rounds:
    """Take every cost once a round, in turning order: `ROUNDS` of them.

    A round in which others used the machine is taken again; where they never stop, the quietest
    rounds count. How much others used stands beside every figure.

    Args:
        warm: begin with a round that does not count; what runs in new processes needs none.
    """
    rounds = ROUNDS
    for cost in costs.values() if warm else ():
        cost()
    taken: list[tuple[float, dict[str, float]]] = []
    while sum(cores <= QUIET for cores, _ in taken) < rounds and len(taken) < TRIES * rounds:
        order = list(costs) if len(taken) % 2 else list(reversed(costs))
        with Foreign() as foreign:
            values = {name: costs[name]() for name in order}
        taken.append((foreign.cores, values))
    quietest = sorted(taken, key=lambda t: t[0])[:rounds]
    return Rounds({n: [v[n] for _, v in quietest] for n in costs}, quietest[-1][0])


def seconds_per_call(call: Callable[[], object], calls: int) -> Callable[[], float]:
    """A cost: the mean seconds of so many calls."""

    def cost() -> float:
        start = time.perf_counter()
        for _ in range(calls):
            call()
        return (time.perf_counter() - start) / calls

    return cost


@dataclass(frozen=True)
class Case:
    """A ratio or a count, and what it should be: at least `goal`, or at most."""

    name: str
    ratios: list[float]
    goal: float
    at_most: bool = False
    foreign: float | None = None  # cores that others used meanwhile; None if it does not matter

    @property
    def median(self) -> float:
        return median(self.ratios)

    @property
    def margin(self) -> float:
        """How many times better than the goal; below 1, it is short."""
        if self.at_most:
            return self.goal / self.median if self.median else math.inf
        return self.median / self.goal

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """The median, the spread, the goal, whether it is met, and how much others used."""
        spread = (
            ""
            if len(self.ratios) == 1
            else f"{number(min(self.ratios))}–{number(max(self.ratios))}"
        )
        goal = f"{'≤' if self.at_most else '≥'} {number(self.goal)}"
        foreign = "counted" if self.foreign is None else f"{self.foreign:.2f} cores"
        return number(self.median), spread, goal, "met" if self.margin >= 1 else "short", foreign

    def line(self, label: str) -> str:
        median, spread, goal, verdict, foreign = self.cells
        return f"{label:<64} {median:<7} {spread:<13} {goal:<8} {verdict:<6} {foreign}"

    def as_dict(self) -> dict[str, object]:
        return asdict(self) | {"median": self.median, "met": self.margin >= 1}


def number(x: float) -> str:
    """A figure of three digits, and with all of those before the point.

    >>> number(0.12345), number(2023.4)
    ('0.123', '2,023')
    """
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"


@dataclass
class Goal:
    """A goal: one line, and its cases below where there are several."""

    name: str
    title: str
    cases: list[Case] = field(default_factory=list)
    skipped: str = ""

    def __str__(self) -> str:
        if self.skipped:
            return f"{self.name:<12}{self.title}: skipped, {self.skipped}"
        worst = min(self.cases, key=lambda case: case.margin)
        head = worst.line(f"{self.name:<12}{self.title}, {worst.name}")
        if len(self.cases) == 1:
            return head
        return "\n".join([head, *(case.line(f"            {case.name}") for case in self.cases)])

    def as_dict(self) -> dict[str, object]:
        cases = [case.as_dict() for case in self.cases]
        return {"name": self.name, "title": self.title, "cases": cases, "skipped": self.skipped}

    def rows(self) -> list[str]:
        """A line of a Markdown table for every case."""
        cases = [(f"{self.title}: {case.name}", *case.cells) for case in self.cases]
        cells = cases or [(self.title, "", "", "", "skipped", self.skipped)]
        return [f"| `{self.name}` | {' | '.join(row)} |" for row in cells]
