"""A claim: a statement, an experiment that can fail, and wrong versions of it that must."""

import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self, TypeAlias

import torch
from matplotlib.figure import Figure

from ae_lightning.callbacks.drawing.saving import png
from ae_lightning.core.showing import number, shown

DPI = 160


class Skip(Exception):
    """Raised by an experiment that cannot be carried out here, with the reason."""


@dataclass(frozen=True)
class Check:
    """A measured figure and its bounds, beside the figures of wrong versions.

    Args:
        what: what was measured, with its unit.
        value: the figure.
        wrong: the figures of plausible wrong versions, each of which must miss the bounds.
        at_most, at_least: the bounds.

    >>> Check("angle, degrees", 0.02, {"absolute error": 9.4}, at_most=0.1).proved
    True
    """

    what: str
    value: float
    wrong: Mapping[str, float] = field(default_factory=dict)
    at_most: float = float("inf")
    at_least: float = -float("inf")

    def allows(self, value: float) -> bool:
        """Return whether a figure lies within the bounds; NaN never does."""
        return self.at_least <= value <= self.at_most

    @property
    def bound(self) -> str:
        """The bounds as text.

        >>> Check("share", 0.5, at_most=1.0).bound, Check("", 0.0, at_most=1e-10).bound
        ('≤ 1', '≤ 10⁻¹⁰')
        >>> Check("ratio", 1.001, at_least=0.98, at_most=1.02).bound
        '∈ [0.98, 1.02]'
        """
        if self.at_least == self.at_most:
            return f"= {number(self.at_most)}"
        if self.at_most == float("inf"):
            return f"≥ {number(self.at_least)}"
        if self.at_least == -float("inf"):
            return f"≤ {number(self.at_most)}"
        return f"∈ [{number(self.at_least)}, {number(self.at_most)}]"

    @property
    def holds(self) -> bool:
        """Whether the measured figure lies within the bounds."""
        return self.allows(self.value)

    @property
    def proved(self) -> bool:
        """Whether the figure holds and every wrong version's fails."""
        return self.holds and not any(self.allows(figure) for figure in self.wrong.values())


Results: TypeAlias = Iterator[Check | Figure]  # of an experiment
TEXTS = ("title", "statement", "formula", "source", "correction", "wrong_version", "caption")


class Claim(ABC):
    """One claim of the notes, stated correctly, in texts whose line breaks count as spaces.

    Args:
        name: its name on the command line.
    """

    title: ClassVar[str]
    notes: ClassVar[tuple[str, ...]] = ()  # the statements of docs/notes.md that it tests
    statement: ClassVar[str]  # one sentence
    formula: ClassVar[str]  # in matplotlib's math text
    source: ClassVar[str]  # authors, year, title
    correction: ClassVar[str] = ""  # of the notes, if they are loose or wrong here
    wrong_version: ClassVar[str]  # the counter-cases
    caption: ClassVar[str]  # how to read the pictures

    def __init_subclass__(cls) -> None:
        for name in TEXTS:
            setattr(cls, name, " ".join(getattr(cls, name).split()))

    def __init__(self, name: str = "") -> None:
        self.name = name

    @property
    def tests(self) -> str:
        """Which statements of the notes it tests, such as "notes 2.1, 2.2"; "" if none."""
        return f"notes {', '.join(self.notes)}" if self.notes else ""

    @abstractmethod
    def run(self, seed: int) -> Results:
        """Carry out the experiment and its counter-cases, and yield the checks and the pictures;
        torch's random state is seeded already.

        Raises:
            Skip: if something that it needs is missing, such as real images.
        """


@dataclass(frozen=True)
class Picture:
    """A panel as PNG, which a notebook shows, and in words."""

    png: bytes = field(repr=False)
    alt: str

    @classmethod
    def of(cls, figure: Figure) -> Self:
        """Render a panel; in words, it is the titles of its axes."""
        figure.set_dpi(DPI)
        titles = [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes]
        return cls(png(figure), "; ".join(title for title in titles if title))

    def _repr_png_(self) -> bytes:
        return self.png


@shown
@dataclass(frozen=True)
class Proof:
    """An experiment carried out: what it found, or why it was skipped, and the seconds it took."""

    claim: Claim
    checks: Sequence[Check]
    pictures: Sequence[Picture]
    skipped: str
    seconds: float

    def facts(self) -> dict[str, object]:
        """What its `repr` tells, by name."""
        verdict = self.skipped or ("proved" if self.proved else "NOT PROVED")
        found = {"claim": self.claim.title, "verdict": verdict}
        found |= {check.what: said(check) for check in self.checks}
        return {**found, "pictures": len(self.pictures), "seconds": self.seconds}

    @property
    def proved(self) -> bool:
        """Whether every check is proved, and at least one of them has a wrong version."""
        return all(c.proved for c in self.checks) and any(c.wrong for c in self.checks)


def said(check: Check) -> str:
    """A check in a line: the figure, its bound and whether it holds, and what is wrong.

    >>> said(Check("angle", 0.02, {"absolute error": 9.4}, at_most=0.1))
    '0.02 ≤ 0.1 holds (wrong: absolute error: 9.4)'
    """
    wrong = "; ".join(f"{name}: {number(value)}" for name, value in check.wrong.items())
    holds = "holds" if check.holds else "FAILS"
    return f"{number(check.value)} {check.bound} {holds}" + f" (wrong: {wrong})" * bool(wrong)


def prove(claim: Claim, seed: int = 0) -> Proof:
    """Carry out a claim's experiment, leaving torch's random state as it was."""
    start = time.perf_counter()
    results, skipped = [], ""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # torch's own warning, at the first forward derivative
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        torch.manual_seed(seed)
        try:
            results = list(claim.run(seed))
        except Skip as reason:
            skipped = str(reason)
    checks = [result for result in results if isinstance(result, Check)]
    pictures = [Picture.of(result) for result in results if not isinstance(result, Check)]
    return Proof(claim, checks, pictures, skipped, time.perf_counter() - start)
