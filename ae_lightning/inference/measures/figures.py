"""What measuring returns, how much it draws, and means of what comes batch by batch."""

import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.inference.inputs import Inputs
from ae_lightning.inference.trained import TrainedModel
from ae_lightning.metrics import merge_moments

Z95 = 1.959964  # standard deviations on each side that hold 95 % of a normal distribution


class NotDefined(UsageError):
    """A figure has no meaning for this model or these data."""


class Figure(NamedTuple):
    """One figure of a model.

    Args:
        name: as everywhere, such as elbo.
        value: its estimate.
        unit: nats, dB, …; empty for a number or a share.
        error: its standard error over the examples, unless the note says over what.
        interval: its 95 % interval, where that is not symmetric, or not of `error`.
        note: what it depends on: samples, subset, seed, bias.
    """

    name: str
    value: float
    unit: str = ""
    error: float | None = None
    interval: tuple[float, float] | None = None
    note: str = ""


class Settings(NamedTuple):
    """How much is drawn, and how often.

    Args:
        samples: K, the samples of importance sampling for each example.
        repeats: how often that is repeated, with other samples.
        subset: how many examples, the first, the dear figures are taken over: log p(x) and
            Jacobians.
        labels: how many labelled training examples the probes learn from at most.
        seed: determines what is drawn: samples, subsets, folds.
        batch_size: how many examples to compute at a time.
        weights: the file of the Inception network's weights, for FID and KID.
    """

    samples: int = 500
    repeats: int = 3
    subset: int = 1000
    labels: int = 10_000
    seed: int = 0
    batch_size: int = 256
    weights: str | None = None


STANDARD: Final = Settings()


class Averages:
    """Means of values per example, and their standard errors, at the memory of one batch.

    >>> found = Averages()
    >>> found.add(mse=torch.tensor([1.0, 2.0]))
    >>> found.add(mse=torch.tensor([6.0]))
    >>> found.mean("mse"), round(found.error("mse"), 4)
    (3.0, 1.5275)
    """

    def __init__(self) -> None:
        self.moments: dict[str, Tensor] = {}

    def add(self, **values: Tensor) -> None:
        """Add values of a batch, (B,) or (B, K), by name."""
        for name, found in values.items():
            part = moments(found)
            known = self.moments.get(name)
            self.moments[name] = (
                part if known is None else merge_moments(torch.stack([known, part]))
            )

    def variance(self, name: str) -> Tensor:
        """The variance over the examples: (K,)."""
        n, _, squares = self.moments[name]
        found: Tensor = squares / n
        return found

    def mean(self, name: str) -> float:
        """The mean over the examples."""
        return float(self.moments[name][1])

    def error(self, name: str) -> float:
        """The standard error of the mean; not a number if there is one value alone."""
        n, _, squares = (float(m) for m in self.moments[name])
        return float((squares / (n - 1) / n) ** 0.5) if n > 1 else math.nan

    def figure(self, name: str, unit: str = "", note: str = "") -> Figure:
        """A mean as a figure."""
        error = self.error(name)
        return Figure(name, self.mean(name), unit, None if math.isnan(error) else error, note=note)


def moments(values: Tensor) -> Tensor:
    """Count, mean and summed squared deviations of values (B,) or (B, K): (3, K), in float64.

    Within a batch of several columns in their own precision, at half the time; merged in float64.
    """
    values = values.double() if values.ndim == 1 else values.flatten(1)
    mean = values.mean(0)
    count = torch.full_like(mean, len(values))
    return torch.stack([count, mean, (values - mean).square().sum(0)]).double().view(3, -1)


def pairs(
    trained: TrainedModel, inputs: Inputs, batch_size: int, title: str | None = "Measuring"
) -> Iterator[Pair]:
    """Yield the examples as the model was trained on them, but not corrupted."""
    for batch in inputs.batches(batch_size, trained.device, title):
        yield batch.pair


def first(inputs: Inputs, n: int) -> Inputs:
    """The first n examples."""
    return Inputs(inputs.data, inputs.groups, min(n, len(inputs)))


def elements(shape: Any) -> int:
    """How many elements an example has."""
    return int(torch.Size(shape).numel())
