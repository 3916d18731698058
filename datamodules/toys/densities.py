"""Toy densities whose smoothed log-density, score and tangents are known.

Each is a mixture of equal Gaussians: with a few means and a width of its own, or centred on points
laid densely along a curve or surface. Smoothed by Gaussian noise of standard deviation σ,

    p_σ(x) = 1/M Σ_m N(x; μ_m, v I),   ∇ log p_σ(x) = Σ_m r_m(x) (μ_m − x)/v,   v = s² + σ²,

with s the width and r_m(x) the share of component m in the density at x.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Final, final

import torch
from torch import Generator, Tensor

from ae_lightning.core.errors import UsageError, above
from ae_lightning.core.parts import Recorded

DISTANCES_AT_ONCE: Final = 2**18  # few enough for the processor's cache


class Toy(Recorded, ABC):
    """A density on vectors (D,) with known samples, log-density and score."""

    means: Tensor  # the components' means μ_m (M, D), in float64
    width: float  # s: the standard deviation of each
    spacing: float  # between neighbouring means that stand for a continuum; otherwise 0

    @abstractmethod
    def draw(self, n: int, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw n vectors (n, D) and their labels (n,)."""

    @property
    def dimension(self) -> int:
        """The vectors' size D."""
        return self.means.shape[1]

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Draw n vectors (n, D)."""
        return self.draw(n, generator)[0]

    def log_prob(self, x: Tensor, sigma: float = 0.0) -> Tensor:
        """Return log p_σ(x), in nats: (B, D) -> (B,).

        Raises:
            UsageError: if sigma is too small for p_σ to be a density, or for the sum to be exact.
        """
        v = self._variance(sigma)
        constant = math.log(len(self.means)) + self.dimension / 2 * math.log(2 * math.pi * v)
        sums = torch.cat([a.logsumexp(1) for a in self._exponents(x, v)])
        return (sums - x.double().square().sum(1) / (2 * v) - constant).to(x.dtype)

    def score(self, x: Tensor, sigma: float = 0.0) -> Tensor:
        """Return ∇ log p_σ(x): (B, D) -> (B, D).

        Raises:
            UsageError: as for `log_prob`.
        """
        v = self._variance(sigma)
        means = self.means.to(x.device)
        expected = torch.cat([a.softmax(1) @ means for a in self._exponents(x, v)])
        return ((expected - x) / v).to(x.dtype)

    def _variance(self, sigma: float) -> float:
        v = self.width**2 + sigma**2
        if not v > 0 or math.sqrt(v) < self.spacing:
            least = math.sqrt(max(self.spacing**2 - self.width**2, 0))
            raise UsageError(
                f"sigma is {sigma}: {type(self).__name__} is a density only when smoothed, and "
                f"exact only for sigma of at least {least:.2g}."
            )
        return v

    def _exponents(self, x: Tensor, v: float) -> Iterator[Tensor]:
        """−‖x − μ_m‖²/2v + ‖x‖²/2v for a few x at a time, in float64: (b, M)."""
        means = self.means.to(x.device)
        offset = means.square().sum(1) / 2
        few = max(1, DISTANCES_AT_ONCE // len(means))
        for b in range(0, len(x), few):
            yield (x[b : b + few].double() @ means.T - offset) / v


@final
class MixtureOfGaussians(Toy):
    """Gaussians of equal weight and width; the label is the component.

    Args:
        centres: the means, each a list of D numbers.
        width: the standard deviation of each.

    Raises:
        UsageError: if the centres differ in length, or width is not positive.

    >>> toy = MixtureOfGaussians(centres=[[0.0, 0.0]], width=1.0)
    >>> toy.score(torch.tensor([[3.0, 0.0]]))
    tensor([[-3.,  0.]])
    """

    def __init__(
        self,
        centres: Sequence[Sequence[float]] = ((-1.5, -1.0), (1.5, -1.0), (0.0, 1.5)),
        width: float = 0.4,
    ) -> None:
        if len({len(c) for c in centres}) != 1 or not len(centres[0]):
            raise UsageError(f"centres are {list(centres)}: expected lists of one length.")
        self.means = torch.tensor(centres, dtype=torch.float64)
        self.width, self.spacing = above("width", width), 0.0

    def draw(self, n: int, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        y = torch.randint(len(self.means), (n,), generator=generator)
        noise = torch.randn(n, self.dimension, generator=generator)
        return self.means[y].float() + self.width * noise, y
