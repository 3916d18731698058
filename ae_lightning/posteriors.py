"""Posteriors: from the encoder's features to q(z|x)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import Part
from ae_lightning.distributions import PointMass, single
from ae_lightning.nn import Activation


class Posterior(Part, ABC):
    """A family q(z|x), given by the encoder's features."""

    stochastic: ClassVar[bool]

    def __init__(self) -> None:
        super().__init__()
        # No class attribute: it would hide the module that a subclass registers by this name.
        self.activation: Activation | None = None  # maps the features to the code, if not identity

    def build(self, latent: int) -> None:
        """Learn the code's size."""

    @abstractmethod
    def features(self, latent: int) -> int:
        """How many features the encoder must give for a code of size `latent`."""

    @abstractmethod
    def forward(self, features: Tensor) -> Distribution:
        """Map features (B, F) to q with batch (B,) and event (K,)."""


class Dirac(Posterior):
    r"""Put all mass on the code: q(z|x) = δ(z − f(x)), the deterministic encoder.

    Args:
        activation: makes the features the code, such as Sigmoid, TopK or UnitVariance.

    >>> Dirac()(torch.ones(5, 3)).mean.shape
    torch.Size([5, 3])
    """

    stochastic = False

    def __init__(self, activation: Activation | None = None) -> None:
        super().__init__()
        self.activation = activation

    def build(self, latent: int) -> None:
        if self.activation is not None:
            self.activation.build(latent)

    def features(self, latent: int) -> int:
        return latent

    def forward(self, features: Tensor) -> Distribution:
        features = single(features)
        code = features if self.activation is None else self.activation(features)
        return PointMass(code)


class DiagonalGaussian(Posterior):
    r"""q(z|x) = N(z; μ(x), diag σ²(x)), the features being μ and log σ.

    Args:
        sigma: where given, σ is this constant, and the features are μ alone.

    Raises:
        UsageError: where sigma is not positive.

    References:
        | Auto-Encoding Variational Bayes (Kingma and Welling, 2014)

    >>> DiagonalGaussian()(torch.zeros(5, 6)).log_prob(torch.zeros(3))[0]
    tensor(-2.7568)
    """

    stochastic = True

    def __init__(self, sigma: float | None = None) -> None:
        super().__init__()
        if sigma is not None and not sigma > 0:
            raise UsageError(f"sigma is {sigma}: expected a standard deviation above 0; use Dirac.")
        self.sigma = sigma

    def features(self, latent: int) -> int:
        return latent if self.sigma is not None else 2 * latent

    def forward(self, features: Tensor) -> Distribution:
        features = single(features)
        if self.sigma is not None:
            mu, sigma = features, torch.full_like(features, self.sigma)
        else:
            mu, log_sigma = features.chunk(2, dim=1)
            sigma = log_sigma.clamp(-10, 10).exp()  # within what float32 squares safely
        return Independent(Normal(mu, sigma, validate_args=False), 1, validate_args=False)
