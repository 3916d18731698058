"""Posteriors: from the encoder's features to q(z|x)."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import Part
from ae_lightning.distributions import PointMass, bounded, single
from ae_lightning.nn import Activation


class Posterior(Part, ABC):
    """A family q(z|x), parametrised by the encoder's features.

    A subclass says by `direct = True`, each for itself, that its code is the first K features,
    through `activation` if it has one: Jacobians of the code then cost less.
    """

    stochastic: ClassVar[bool]
    direct: ClassVar[bool] = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.direct = cls.__dict__.get("direct", False)  # a subclass may change the code

    def __init__(self) -> None:
        super().__init__()
        # Not a class attribute: that would hide the module that a subclass registers by this name.
        self.activation: Activation | None = None  # from features to the code; None is the identity

    def build(self, latent: int) -> None:
        """Prepare for codes of size `latent`."""

    @abstractmethod
    def features(self, latent: int) -> int:
        """Return how many features the encoder must give for a code of size `latent`."""

    @abstractmethod
    def forward(self, features: Tensor) -> Distribution:
        """Map features (B, F) to q with batch (B,) and event (K,)."""

    def code(self, features: Tensor) -> Tensor:
        """Return the code f(x) (B, K) that features (B, F) stand for: the mean of q(z|x).

        Raises:
            UsageError: if q has no mean in closed form; such a posterior defines `code` itself.
        """
        try:
            return self(features).mean  # type: ignore[no-any-return]
        except NotImplementedError:
            name = type(self).__name__
            raise UsageError(
                f"{name} has no mean in closed form: let it define code(features), such as a mode."
            ) from None


class Dirac(Posterior):
    r"""Put all mass on the code: q(z|x) = δ(z − f(x)), the deterministic encoder.

    Args:
        activation: maps the features to the code, such as Sigmoid, TopK or UnitVariance.

    >>> Dirac()(torch.ones(5, 3)).mean.shape
    torch.Size([5, 3])
    """

    stochastic = False
    direct = True

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
    r"""q(z|x) = N(z; μ(x), diag σ²(x)), with μ and log σ the features.

    Args:
        sigma: if given, σ is this constant, and the features are μ alone.

    Raises:
        UsageError: if sigma is not positive.

    References:
        | Auto-Encoding Variational Bayes (Kingma and Welling, 2014)

    >>> DiagonalGaussian()(torch.zeros(5, 6)).log_prob(torch.zeros(3))[0]
    tensor(-2.7568)
    """

    stochastic = True
    direct = True

    def __init__(self, sigma: float | None = None) -> None:
        super().__init__()
        if sigma is not None and not sigma > 0:
            raise UsageError(f"sigma is {sigma}: expected a standard deviation above 0, or Dirac.")
        self.sigma = sigma

    def features(self, latent: int) -> int:
        return latent if self.sigma is not None else 2 * latent

    def forward(self, features: Tensor) -> Distribution:
        features = single(features)
        if self.sigma is not None:
            mu, sigma = features, torch.full_like(features, self.sigma)
        else:
            mu, log_sigma = features.chunk(2, dim=1)
            sigma = bounded(log_sigma).exp()
        return Independent(Normal(mu, sigma, validate_args=False), 1, validate_args=False)
