"""The one interface of every penalty Ω."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from ae_lightning.parts import Part
from ae_lightning.regularizers.schedules import Clock, Schedule
from ae_lightning.types import ForwardPass

if TYPE_CHECKING:
    from ae_lightning.autoencoder import AutoEncoder


class Regularizer(Part, ABC):
    """A penalty Ω, added to the objective with a weight.

    A plug-in is one subclass with one method, `forward`.

    Args:
        weight: w in w·Ω, a constant or a schedule.
    """

    penalises_jacobian: ClassVar[bool] = False  # evaluation then reports the exact Jacobian norm

    def __init__(self, weight: float | Schedule = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def weight_at(self, clock: Clock) -> float:
        """The weight at this time."""
        return self.weight(clock) if isinstance(self.weight, Schedule) else self.weight

    def check(self, model: AutoEncoder) -> None:
        """Raise UsageError where the model lacks what this penalty needs; warn where it is moot."""

    @abstractmethod
    def forward(self, model: AutoEncoder, out: ForwardPass) -> Tensor:
        """The unweighted penalty Ω: (B,) per example, or () for a batch statistic."""
