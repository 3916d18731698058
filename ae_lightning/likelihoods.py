"""Likelihoods: from the decoder's features to the observation model p(x|z)."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution

from ae_lightning.core.errors import above
from ae_lightning.core.parts import Part
from ae_lightning.distributions import (
    IndependentBernoulli,
    IndependentCategorical,
    IndependentContinuousBernoulli,
    IndependentLaplace,
    IndependentNormal,
    single,
)
from ae_lightning.distributions.categorical import levels_of
from ae_lightning.distributions.continuous_bernoulli import tilted_mean

FLOOR = -6.0  # of a learned log σ; without it, the density of a constant pixel is unbounded


def floored(s: Tensor) -> Tensor:
    """Keep log σ above the floor smoothly, so that it can always rise again.

    >>> floored(torch.tensor([-100.0, 1.0]))
    tensor([-6.0000,  1.0009])
    """
    return F.softplus(s - FLOOR) + FLOOR


def unfloored(log_sigma: float) -> float:
    """Invert `floored`."""
    return FLOOR + math.log(math.expm1(log_sigma - FLOOR))


def invert(mean_of: Callable[[Tensor], Tensor], mean: Tensor) -> Tensor:
    """Solve mean_of(l) = mean for l by bisection; `mean_of` is elementwise and increasing."""
    low, high = torch.full_like(mean, -1e3), torch.full_like(mean, 1e3)
    for _ in range(64):
        l = (low + high) / 2
        below = mean_of(l) < mean
        low, high = torch.where(below, l, low), torch.where(below, high, l)
    return (low + high) / 2


class Likelihood(Part, ABC):
    """An observation model p(x|z), parametrised by the decoder's features."""

    unit_interval: ClassVar[bool] = False  # x must lie in [0, 1]

    def build(self, shape: Sequence[int]) -> None:
        """Prepare for data of this shape."""
        self.event_dims = len(shape)

    def features(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the features for data of this shape.

        If an element needs more than one feature, the others are further channels.
        """
        return tuple(shape)

    @abstractmethod
    def forward(self, features: Tensor) -> Distribution:
        """Map features (*batch, *F) to p with this batch and event S."""

    def link(self, mean: Tensor) -> Tensor | None:
        """Return the features (*F) that give this mean (*S), at which a decoder starts.

        By default, the mean itself, or None if an element needs more than one feature.
        """
        return mean if tuple(self.features(mean.shape)) == mean.shape else None


class Gaussian(Likelihood):
    r"""−log p(x|z) = ‖x − m‖²/(2σ²) + D log σ + (D/2) log 2π.

    At constant σ this is a scaled squared error; a learned σ² settles at the mean squared error.

    Args:
        sigma: the standard deviation σ of every element; its initial value if it is learned.
        learned: learn one σ for all elements, with log σ ≥ −6.

    References:
        | Simple and Effective VAE Training with Calibrated Decoders (Rybkin et al., 2021)

    >>> p = Gaussian(sigma=0.5)
    >>> p.build((2,))
    >>> p(torch.zeros(3, 2)).log_prob(torch.zeros(2))
    tensor([-0.4516, -0.4516, -0.4516])
    """

    def __init__(self, sigma: float = 1.0, learned: bool = False) -> None:
        super().__init__()
        self.constant = math.log(above("sigma", sigma, math.exp(FLOOR) if learned else 0.0))
        # One-dimensional, because a scalar cannot be sharded.
        self.raw = nn.Parameter(torch.tensor([unfloored(self.constant)])) if learned else None

    @property
    def log_sigma(self) -> Tensor:
        return torch.tensor(self.constant) if self.raw is None else floored(self.raw[0])

    @property
    def sigma(self) -> Tensor:
        """Return the standard deviation σ of every element: ()."""
        return self.log_sigma.exp()

    def forward(self, features: Tensor) -> Distribution:
        loc = single(features)
        log_sigma = loc.new_full((), self.constant) if self.raw is None else self.log_sigma
        return IndependentNormal(loc, log_sigma, self.event_dims)


class HeteroscedasticGaussian(Likelihood):
    r"""−log p(x|z) = Σ_d (x_d − m_d)²/(2σ_d²) + log σ_d + ½ log 2π, with m and log σ the features.

    The decoder has twice the data's channels: the means, then log σ ≥ −6 of every element.

    Args:
        sigma: the initial value of every σ.

    References:
        | What Uncertainties Do We Need in Bayesian Deep Learning? (Kendall and Gal, 2017)

    >>> HeteroscedasticGaussian().features((3, 32, 32))
    (6, 32, 32)
    """

    def __init__(self, sigma: float = 1.0) -> None:
        super().__init__()
        self.start = unfloored(math.log(above("sigma", sigma, math.exp(FLOOR))))

    def features(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (2 * shape[0], *shape[1:])

    def forward(self, features: Tensor) -> Distribution:
        loc, s = single(features).chunk(2, dim=-self.event_dims)
        return IndependentNormal(loc, floored(s), self.event_dims)

    def link(self, mean: Tensor) -> Tensor:
        return torch.cat([mean, torch.full_like(mean, self.start)])


class Laplace(Likelihood):
    r"""−log p(x|z) = ‖x − m‖₁/b + D log 2b: the absolute error.

    Args:
        scale: b, the mean absolute deviation of every element.

    >>> p = Laplace(scale=0.5)
    >>> p.build((2,))
    >>> p(torch.zeros(1, 2)).log_prob(torch.ones(2))
    tensor([-4.])
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = above("scale", scale)

    def forward(self, features: Tensor) -> Distribution:
        return IndependentLaplace(single(features), self.scale, self.event_dims)


class Bernoulli(Likelihood):
    r"""−log p(x|z) = −Σ x log m + (1 − x) log(1 − m), m = sigmoid(features): cross-entropy.

    On grey values in [0, 1] this is not a normalised density: see `ContinuousBernoulli`.

    >>> p = Bernoulli()
    >>> p.build((2,))
    >>> p(torch.zeros(1, 2)).mean
    tensor([[0.5000, 0.5000]])
    """

    unit_interval = True

    def forward(self, features: Tensor) -> Distribution:
        return IndependentBernoulli(single(features), self.event_dims)

    def link(self, mean: Tensor) -> Tensor:
        return _interior(mean).logit()


class ContinuousBernoulli(Likelihood):
    r"""−log p(x|z) = −Σ l x − log (l/(e^l − 1)), l = features: a density on grey values in [0, 1].

    Its mean is not sigmoid(l), but 1/(1 − e^{−l}) − 1/l.

    References:
        | The continuous Bernoulli (Loaiza-Ganem and Cunningham, 2019)

    >>> p = ContinuousBernoulli()
    >>> p.build((2,))
    >>> p(torch.tensor([[0.0, 4.0]])).mean
    tensor([[0.5000, 0.7687]])
    """

    unit_interval = True

    def forward(self, features: Tensor) -> Distribution:
        return IndependentContinuousBernoulli(single(features), self.event_dims)

    def link(self, mean: Tensor) -> Tensor:
        return invert(tilted_mean, _interior(mean))


class Categorical(Likelihood):
    r"""−log p(x|z) = −Σ_d log softmax(l_d)[k(x_d)]: x in [0, 1] is rounded to L levels k/(L − 1).

    The decoder has L times the data's channels. This is the probability of a discrete x, not a
    density: its bits per dimension are −log₂ p(x|z)/D, without the 8 bits of dequantisation.

    Args:
        levels: L, 256 for images of one byte per channel.

    >>> Categorical().features((3, 32, 32))
    (768, 32, 32)
    """

    unit_interval = True

    def __init__(self, levels: int = 256) -> None:
        super().__init__()
        self.levels = int(above("levels", levels, 1))

    def features(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (self.levels * shape[0], *shape[1:])

    def forward(self, features: Tensor) -> Distribution:
        logits = torch.unflatten(single(features), -self.event_dims, (self.levels, -1))
        return IndependentCategorical(logits, self.event_dims)

    def link(self, mean: Tensor) -> Tensor:
        """Return the logits l·k of greatest entropy that have this mean."""
        levels = levels_of(mean, self.levels)

        def logits(l: Tensor) -> Tensor:
            return levels.view(-1, *[1] * mean.dim()) * l  # (L, *S)

        def mean_of(l: Tensor) -> Tensor:
            return IndependentCategorical(logits(l), mean.dim()).mean

        return logits(invert(mean_of, _interior(mean))).flatten(0, 1)


def _interior(mean: Tensor) -> Tensor:
    """Keep a mean away from 0 and 1: a pixel that is always 0 would start at −∞."""
    return mean.clamp(0.01, 0.99)
