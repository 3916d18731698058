"""The one interface of all penalties Ω."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from torch import Tensor

from ae_lightning.core.distributed import gather
from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import Part
from ae_lightning.core.types import ForwardPass
from ae_lightning.model import Model
from ae_lightning.posteriors import Posterior
from ae_lightning.priors import Prior
from ae_lightning.schedules import Clock, Schedule
from ae_lightning.training.uncompiled import uncompiled


class DegenerateObjective(UserWarning):
    """A penalty can be lowered without having the effect that it is meant to have."""


class Regularizer(Part, ABC):
    """A penalty Ω, which is added to the objective with a weight.

    A plug-in is one subclass with one method, `forward`.

    Args:
        weight: w in w·Ω, a constant or a schedule; a negative weight rewards Ω, and weight 0 is
            the same as leaving the penalty out.

    Raises:
        UsageError: if the weight is not finite, or the penalty is no Tensor of shape (B,) or ().

    >>> class Smallness(Regularizer):
    ...     def forward(self, model, out):
    ...         return out.q.mean.square().sum(1)
    >>> Smallness(0.5).weight_at(Clock())
    0.5
    """

    penalises_jacobian: ClassVar[bool] = False  # evaluation then reports the exact Jacobian norm
    holds_prior: ClassVar[bool] = False  # it holds all codes, q(z), to the prior
    sees_outputs_only: ClassVar[bool] = False  # neither weights nor derivatives of the two maps

    def __init__(self, weight: float | Schedule = 1.0) -> None:
        super().__init__()
        finite = isinstance(weight, int | float) and math.isfinite(weight)
        if not (finite or isinstance(weight, Schedule)):
            raise UsageError(f"weight is {weight!r}: expected a finite number or a schedule.")
        self.weight = weight

    def weight_at(self, clock: Clock) -> float:
        """Return the weight at this time."""
        return value_at(self.weight, clock)

    @property
    def final_weight(self) -> float:
        """The weight that training ends with."""
        return self.weight.end if isinstance(self.weight, Schedule) else self.weight

    @property
    def active(self) -> bool:
        """Whether the penalty is one when training ends: its weight is then above 0."""
        return self.final_weight > 0

    def holds_scale(self, model: Model) -> bool:
        """Whether a smaller code that the decoder scales back would cost more of this penalty."""
        return self.holds_prior and not model.prior.learned

    def implied_prior(self, posterior: Posterior) -> Prior | None:
        """Return the prior whose −log density the weighted penalty is, up to a constant, if any."""
        return None

    @property
    def schedules(self) -> list[Schedule]:
        """Return every schedule of this penalty: the weight's, and those that a subclass adds."""
        return [value for value in vars(self).values() if isinstance(value, Schedule)]

    def check(self, model: Model) -> None:
        """Raise UsageError if the model lacks what this penalty needs; warn if it is pointless."""

    @abstractmethod
    def forward(self, model: Model, out: ForwardPass) -> Tensor:
        """Return the unweighted penalty Ω: (B,) per example, or () for a batch statistic."""

    def __call__(self, model: Model, out: ForwardPass) -> Tensor:
        # Half precision would round away differences of codes and of derivatives.
        with torch.autocast(out.x.device.type, enabled=False), uncompiled(model):
            try:
                penalty: object = super().__call__(model, out)
            except Exception as error:
                error.add_note(f"in the penalty {type(self).__name__}")
                raise
        if not isinstance(penalty, Tensor) or penalty.shape not in ((), out.x.shape[:1]):
            shape = tuple(penalty.shape) if isinstance(penalty, Tensor) else None
            what = type(penalty).__name__ if shape is None else f"the shape {shape}"
            raise UsageError(
                f"{type(self).__name__} returned {what}: sum over the event to a Tensor of one "
                f"value per example ({len(out.x)},), or return a batch statistic ()."
            )
        return penalty


def value_at(value: float | Schedule, clock: Clock) -> float:
    """Return the value of a constant or a schedule at this time."""
    return value(clock) if isinstance(value, Schedule) else value


@contextmanager
def noise_of(model: Model) -> Iterator[None]:
    """In evaluation, draw the same noise for every batch, and restore the random state."""
    if model.training:
        yield
        return
    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
        torch.manual_seed(model.seed)
        yield


def whole(x: Tensor, model: Model) -> Tensor:
    """Return the batch (B, …) of all ranks in training, and this rank's own in evaluation."""
    return gather(x) if model.training else x
