"""Costs taken in alternation, with an eye on whoever else uses the machine."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Self

ROUNDS = 5
QUIET = 0.1  # cores that others may use in a round that counts
TRIES = 3  # times as many rounds at most, where others disturb


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


def alternate(costs: dict[str, Callable[[], float]], rounds: int = ROUNDS) -> Rounds:
    """Take every cost once a round, in turning order, after a first round that does not count.

    A round in which others used the machine is taken again; where they never stop, the quietest
    rounds count, and the line says so.
    """
    for cost in costs.values():
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
    noise: float = 0.0

    @property
    def median(self) -> float:
        return median(self.ratios)

    @property
    def margin(self) -> float:
        """How many times better than the goal; below 1, it is short."""
        if self.at_most:
            return self.goal / self.median if self.median else math.inf
        return self.median / self.goal

    def line(self, label: str) -> str:
        spread = f"{min(self.ratios):.3g}–{max(self.ratios):.3g}"
        goal = f"{'≤' if self.at_most else '≥'} {self.goal:g}"
        verdict = "met" if self.margin >= 1 else "short"
        noise = f"  (others used {self.noise:.1f} cores)" if self.noise > QUIET else ""
        return f"{label:<64} {self.median:<6.3g} {spread:<12} {goal:<8} {verdict}{noise}"


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
