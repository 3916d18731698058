"""The distribution that puts all its mass at one point."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from ae_lightning.core.errors import UsageError


class PointMass(Distribution):
    """A point mass at `value` (*batch, K); it has no density, and so no log_prob.

    >>> PointMass(torch.zeros(2, 3)).rsample((5,)).shape
    torch.Size([5, 2, 3])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    has_rsample = True

    def __init__(self, value: Tensor) -> None:
        self.value = value
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.value

    @property
    def mode(self) -> Tensor:
        return self.value

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.value)

    def rsample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        return self.value.expand(*sample_shape, *self.value.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        raise UsageError(
            "a Dirac posterior has no density: use a stochastic one, such as DiagonalGaussian."
        )
