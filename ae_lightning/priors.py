"""Priors p(z)."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch import distributions as td
from torch.distributions import Distribution, Independent, MixtureSameFamily

from ae_lightning.core.errors import UsageError, above
from ae_lightning.core.parts import Part
from ae_lightning.core.randomness import generator_of
from ae_lightning.distributions import PointMass, UnitNormal, bounded

Encode = Callable[[Tensor], Distribution]  # x (B, *S) -> q(z|x)


class Prior(Part, ABC):
    """A distribution over codes: calling it returns p(z), with batch () and event (K,)."""

    @abstractmethod
    def build(self, latent: int, shape: Sequence[int], encode: Encode) -> None:
        """Prepare for codes of size `latent` of data of this shape; a prior may keep `encode`."""

    def start(self, x: Tensor) -> None:
        """Initialise from the first batch (B, *S) of training data, before the first step."""

    @property
    def learned(self) -> bool:
        """Whether the prior has parameters of its own."""
        return any(True for _ in self.parameters())

    @abstractmethod
    def forward(self) -> Distribution:
        """Return p(z)."""


class CentredPrior(Prior, ABC):
    """A prior around 0 without anything learned."""

    loc: Tensor  # (K,)

    def build(self, latent: int, shape: Sequence[int], encode: Encode) -> None:
        self.register_buffer("loc", torch.zeros(latent), persistent=False)


class StandardNormal(CentredPrior):
    """p(z) = N(z; 0, I).

    >>> prior = StandardNormal()
    >>> prior.build(2, (4,), encode=None)
    >>> prior().log_prob(torch.zeros(2))
    tensor(-1.8379)
    """

    def forward(self) -> Distribution:
        p = UnitNormal(self.loc, torch.ones_like(self.loc), validate_args=False)
        return Independent(p, 1, validate_args=False)


class ScaledPrior(CentredPrior, ABC):
    """A product of equal factors around 0.

    Args:
        scale: the standard deviation of every code element or, of Laplace's and the exponential
            density, its mean magnitude b.
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = above("scale", scale)

    def forward(self) -> Distribution:
        factor = self.factor(torch.full_like(self.loc, self.scale))
        return Independent(factor, 1, validate_args=False)

    @abstractmethod
    def factor(self, scale: Tensor) -> Distribution:
        """Return the factors, with batch (K,)."""


class NormalPrior(ScaledPrior):
    """p(z) = N(z; 0, s² I), of which an `L2` penalty of weight 1/s² is the negative logarithm.

    >>> prior = NormalPrior(scale=2.0)
    >>> prior.build(1, (4,), encode=None)
    >>> prior().stddev
    tensor([2.])
    """

    def factor(self, scale: Tensor) -> Distribution:
        return td.Normal(self.loc, scale, validate_args=False)


class ExponentialPrior(ScaledPrior):
    r"""p(z) = Π_k e^{−z_k/b}/b for z ≥ 0: the one-sided Laplace density, of rectified codes.

    >>> prior = ExponentialPrior(scale=0.5)
    >>> prior.build(2, (4,), encode=None)
    >>> prior().log_prob(torch.ones(2))
    tensor(-2.6137)
    """

    def factor(self, scale: Tensor) -> Distribution:
        return OneSided(1 / scale, validate_args=False)


class OneSided(td.Exponential):
    """The exponential density, whose logarithm torch continues below 0, where there is none."""

    def log_prob(self, value: Tensor) -> Tensor:
        log_p: Tensor = super().log_prob(value)  # type: ignore[no-untyped-call]
        return log_p.masked_fill(value < 0, -math.inf)


class LaplacePrior(ScaledPrior):
    r"""p(z) = Π_k Laplace(z_k; 0, b): −log p(z) = λ‖z‖₁ − K log(λ/2), with λ = 1/b.

    >>> prior = LaplacePrior(scale=0.5)
    >>> prior.build(2, (4,), encode=None)
    >>> prior().log_prob(torch.ones(2))
    tensor(-4.)
    """

    def factor(self, scale: Tensor) -> Distribution:
        return td.Laplace(self.loc, scale, validate_args=False)


def _at_least_one(components: int) -> int:
    if components < 1:
        raise UsageError(f"components is {components}: a mixture needs at least one.")
    return components


def _mixture(logits: Tensor, components: Distribution) -> Distribution:
    weights = td.Categorical(logits=logits, validate_args=False)
    return MixtureSameFamily(weights, components, validate_args=False)


class GaussianMixture(Prior):
    r"""p(z) = Σ_c π_c N(z; μ_c, diag σ_c²), with learned weights π, means μ and scales σ.

    Args:
        components: the number of Gaussians.

    >>> prior = GaussianMixture(components=3)
    >>> prior.build(2, (4,), encode=None)
    >>> prior().sample((5,)).shape
    torch.Size([5, 2])
    """

    def __init__(self, components: int = 10) -> None:
        super().__init__()
        self.components = _at_least_one(components)

    def build(self, latent: int, shape: Sequence[int], encode: Encode) -> None:
        self.logits = nn.Parameter(torch.zeros(self.components))
        self.means = nn.Parameter(torch.randn(self.components, latent))
        self.log_sigmas = nn.Parameter(torch.zeros(self.components, latent))

    def forward(self) -> Distribution:
        sigmas = bounded(self.log_sigmas).exp()
        components = td.Normal(self.means, sigmas, validate_args=False)
        return _mixture(self.logits, Independent(components, 1, validate_args=False))


class VampPrior(Prior):
    r"""p(z) = (1/C) Σ_c q(z|u_c): the posterior of C learned pseudo-inputs u_c.

    The pseudo-inputs start as examples of the first batch.

    Args:
        components: C, the number of pseudo-inputs.

    Raises:
        UsageError: if the posterior is a point mass, so that p would have no density.

    References:
        | VAE with a VampPrior (Tomczak and Welling, 2018)
    """

    def __init__(self, components: int = 50) -> None:
        super().__init__()
        self.components = _at_least_one(components)

    def build(self, latent: int, shape: Sequence[int], encode: Encode) -> None:
        # Kept out of the registered modules, so that the encoder's weights are counted once.
        self.__dict__["encode"] = encode
        self.pseudo_inputs = nn.Parameter(torch.rand(self.components, *shape))
        with torch.no_grad():
            if isinstance(encode(self.pseudo_inputs[:1]), PointMass):
                raise UsageError(
                    "VampPrior needs a stochastic posterior such as DiagonalGaussian, not Dirac."
                )

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        examples = x[torch.arange(self.components) % len(x)]
        # If the batch has fewer, noise tells the copies apart, and is the same on every rank.
        noise = torch.randn(examples.shape, generator=generator_of(self.components)).to(x)
        noise[: len(x)] = 0
        self.pseudo_inputs.copy_(examples + 0.1 * x.std(unbiased=False) * noise)

    def forward(self) -> Distribution:
        q = self.__dict__["encode"](self.pseudo_inputs)
        return _mixture(self.pseudo_inputs.new_zeros(self.components), q)
