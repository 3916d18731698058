"""Schedules: numbers that change with training, for penalty weights and learning rates."""

import math
import sys
from abc import ABC, abstractmethod
from typing import NamedTuple

from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import Recorded


class Clock(NamedTuple):
    """The time in training, and how many optimizer steps it will take in all."""

    step: int = 0
    epoch: int = 0
    total_steps: int = 0  # 0 if unknown: no training is under way
    # How many more steps it would have taken to get here, had every epoch had as many steps as now:
    # nonzero only in a run that was resumed on a different number of processes.
    lead: int = 0

    def at_end(self) -> "Clock":
        """Return a time at which every schedule has ended."""
        return self._replace(step=sys.maxsize, epoch=sys.maxsize)


class Schedule(Recorded, ABC):
    """A number that changes from `start` to `end` over a span, and then stays there.

    Args:
        start: the value at the span's beginning.
        end: the value at its end.
        steps: the span in optimizer steps.
        epochs: the span in epochs, with one value per epoch. If neither is given, the span is
            the whole training.

    Raises:
        UsageError: if a value is not finite, or the span is shorter than 1.
    """

    def __init__(
        self,
        start: float = 0.0,
        end: float = 1.0,
        steps: int | None = None,
        epochs: int | None = None,
    ) -> None:
        if not (math.isfinite(start) and math.isfinite(end)):
            raise UsageError(f"a schedule from {start} to {end}: expected finite numbers.")
        if steps is not None and epochs is not None:
            raise UsageError(f"a schedule spans steps ({steps}) or epochs ({epochs}), not both.")
        for name, span in {"steps": steps, "epochs": epochs}.items():
            if span is not None and span < 1:
                raise UsageError(f"{name} is {span}: a schedule spans at least 1.")
        self.start, self.end, self.steps, self.epochs = start, end, steps, epochs

    def __call__(self, clock: Clock) -> float:
        """Return the value at this time."""
        if self.epochs is not None:
            progress = clock.epoch / self.epochs
        elif self.steps is not None:
            progress = clock.step / self.steps
        else:
            progress = (clock.step + clock.lead) / max(1, clock.total_steps)
        return self.value(min(1.0, progress))

    @property
    def spans_training(self) -> bool:
        """Whether the span is the whole training, which must then have an end."""
        return self.steps is None and self.epochs is None

    @abstractmethod
    def value(self, progress: float) -> float:
        """Return the value once this fraction of the span, in [0, 1], has passed."""


class Constant(Schedule):
    """The same number throughout.

    >>> Constant(0.5)(Clock(step=3))
    0.5
    """

    spans_training = False

    def __init__(self, end: float = 1.0) -> None:
        super().__init__(end, end)

    def value(self, progress: float) -> float:
        return self.end


class Linear(Schedule):
    """From start to end in a straight line.

    >>> Linear(0, 4, steps=100)(Clock(step=25))
    1.0
    """

    def value(self, progress: float) -> float:
        return self.start + (self.end - self.start) * progress


class Cosine(Schedule):
    """From start to end along half a cosine, level at both ends.

    >>> Cosine(1, 0, epochs=10)(Clock(epoch=5))
    0.5
    """

    def value(self, progress: float) -> float:
        return along_cosine(self.start, self.end, progress)


class Cyclic(Schedule):
    """Rise from start to end in the first part of every cycle, then stay there for the rest.

    Args:
        cycles: the number of cycles in the span.
        rise: the fraction of each cycle spent rising.

    References:
        | Cyclical Annealing Schedule: A Simple Approach to Mitigating KL Vanishing (Fu et al.,
          2019)

    >>> [Cyclic(0, 1, steps=8, cycles=2)(Clock(step=s)) for s in range(9)]
    [0.0, 0.5, 1.0, 1.0, 0.0, 0.5, 1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        start: float = 0.0,
        end: float = 1.0,
        steps: int | None = None,
        epochs: int | None = None,
        cycles: int = 4,
        rise: float = 0.5,
    ) -> None:
        super().__init__(start, end, steps, epochs)
        if cycles < 1 or not 0 < rise <= 1:
            raise UsageError(f"cycles is {cycles}, rise {rise}: expected 1 or more, and (0, 1].")
        self.cycles, self.rise = cycles, rise

    def value(self, progress: float) -> float:
        # Rounded, so that a cycle's first step is not mistaken for the end of the one before.
        phase = 1.0 if progress == 1 else round(progress * self.cycles, 9) % 1
        return self.start + (self.end - self.start) * min(1.0, phase / self.rise)


class OneCycle(Schedule):
    """Rise from start to 1 along a cosine, then fall to end along another: for learning rates.

    Args:
        rise: the fraction of the span spent rising.

    References:
        | Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates
          (Smith and Topin, 2018)

    >>> [round(OneCycle(0.1, 0, steps=10, rise=0.5)(Clock(step=s)), 2) for s in (0, 5, 10)]
    [0.1, 1.0, 0.0]
    """

    def __init__(
        self,
        start: float = 0.04,
        end: float = 0.0,
        steps: int | None = None,
        epochs: int | None = None,
        rise: float = 0.3,
    ) -> None:
        super().__init__(start, end, steps, epochs)
        if not 0 < rise < 1:
            raise UsageError(f"rise is {rise}: expected a fraction of the span in (0, 1).")
        self.rise = rise

    def value(self, progress: float) -> float:
        if progress < self.rise:
            return along_cosine(self.start, 1.0, progress / self.rise)
        return along_cosine(1.0, self.end, (progress - self.rise) / (1 - self.rise))


def along_cosine(start: float, end: float, progress: float) -> float:
    """Return the height of half a cosine from start to end, once a fraction has passed."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2
