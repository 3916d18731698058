"""Priors p(z)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from ae_lightning.parts import Part


class Prior(Part, ABC):
    """A distribution over codes: calling it gives p(z), with batch () and event (K,)."""

    @abstractmethod
    def build(
        self, latent: int, shape: Sequence[int], encode: Callable[[Tensor], Distribution]
    ) -> None:
        """Learn the code's size, the data's shape and, for priors that encode, the encoder."""

    def start(self, x: Tensor) -> None:
        """Take what a first batch (B, *S) of training data has to give, before the first step."""

    @abstractmethod
    def forward(self) -> Distribution:
        """Return p(z)."""


class StandardNormal(Prior):
    """p(z) = N(z; 0, I)."""

    def build(
        self, latent: int, shape: Sequence[int], encode: Callable[[Tensor], Distribution]
    ) -> None:
        self.register_buffer("loc", torch.zeros(latent), persistent=False)

    def forward(self) -> Distribution:
        p = Normal(self.loc, torch.ones_like(self.loc), validate_args=False)
        return Independent(p, 1, validate_args=False)
