"""Likelihoods: from the decoder's features to p(x|z)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution, Independent

from ae_lightning.parts import Part, UsageError


class Likelihood(Part, ABC):
    """An observation model p(x|z), given by the decoder's features."""

    unit_interval: ClassVar[bool] = False  # x must lie in [0, 1]

    def build(self, shape: Sequence[int]) -> None:
        """Learn the data's shape."""
        self.event_dims = len(shape)

    def features(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of the features for data of this shape: one value an element, or more."""
        return tuple(shape)

    @abstractmethod
    def forward(self, features: Tensor) -> Distribution:
        """Map features (*batch, *F) to p with this batch and event S."""

    def link(self, mean: Tensor) -> Tensor:
        """The features (*F) of a distribution with this mean (*S), where a decoder starts."""
        return mean


class Bernoulli(Likelihood):
    r"""−log p(x|z) = −Σ x log m + (1 − x) log(1 − m), m = sigmoid(features): cross-entropy.

    On grey values in [0, 1] this is no normalised density: see `ContinuousBernoulli`.
    """

    unit_interval = True

    def forward(self, features: Tensor) -> Distribution:
        p = td.Bernoulli(logits=features, validate_args=False)
        return Independent(p, self.event_dims, validate_args=False)

    def link(self, mean: Tensor) -> Tensor:
        return mean.clamp(0.01, 0.99).logit()  # a pixel that is always 0 would start at −∞


class Gaussian(Likelihood):
    r"""−log p(x|z) = ‖x − m‖²/(2σ²) + D log σ + (D/2) log 2π.

    Args:
        sigma: the standard deviation σ of every element; the start, where it is learned.
        learned: learn one σ for all elements, floored at log σ ≥ −6.
    """

    def __init__(self, sigma: float = 1.0, learned: bool = False) -> None:
        super().__init__()
        if sigma <= 0:
            raise UsageError(f"sigma is {sigma}: expected a standard deviation above 0.")
        log_sigma = torch.tensor(sigma).log()
        if learned:
            self.log_sigma = torch.nn.Parameter(log_sigma)
        else:
            self.register_buffer("log_sigma", log_sigma, persistent=False)

    @property
    def sigma(self) -> Tensor:
        return self.log_sigma.clamp(min=-6).exp()

    def forward(self, features: Tensor) -> Distribution:
        p = td.Normal(features, self.sigma, validate_args=False)
        return Independent(p, self.event_dims, validate_args=False)
