"""Toy densities whose smoothed log-density, score and tangents are known.

Each is a mixture of many equal Gaussians: of a few means with a width of their own, or of points
laid densely along a curve or surface. Smoothed by Gaussian noise of standard deviation σ,

    p_σ(x) = 1/M Σ_m N(x; μ_m, v I),   ∇ log p_σ(x) = Σ_m r_m(x) (μ_m − x)/v,   v = s² + σ²,

with s the width and r_m(x) the share of component m in the density at x.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Final, final

import torch
from torch import Generator, Tensor
from torch.autograd.functional import jvp

from ae_lightning.parts import Recorded, UsageError
from ae_lightning.randomness import generator_of

AT_ONCE: Final = 2**22  # distances held in memory at once
KINDS: Final = 10  # a curve is labelled by this many pieces of its first parameter


class Toy(Recorded, ABC):
    """A density on vectors (D,), of which samples, log-density and score are known."""

    means: Tensor  # the components' means μ_m (M, D), in float64
    width: float  # s: the standard deviation of each
    spacing: float  # how far neighbouring means are apart that stand for a continuum; else 0

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
            UsageError: where sigma is too small for p_σ to be a density, or to be summed up.
        """
        v = self._variance(sigma)
        constant = math.log(len(self.means)) + self.dimension / 2 * math.log(2 * math.pi * v)
        sums = torch.cat([a.logsumexp(1) for a in self._exponents(x, v)])
        return (sums - x.double().square().sum(1) / (2 * v) - constant).to(x.dtype)

    def score(self, x: Tensor, sigma: float = 0.0) -> Tensor:
        """Return ∇ log p_σ(x): (B, D) -> (B, D).

        Raises:
            UsageError: as `log_prob` does.
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
                f"summed up exactly for sigma of at least {least:.2g}."
            )
        return v

    def _exponents(self, x: Tensor, v: float) -> Iterator[Tensor]:
        """−‖x − μ_m‖²/2v + ‖x‖²/2v for a few x at a time, in float64: (b, M)."""
        means = self.means.to(x.device)
        offset = means.square().sum(1) / 2
        few = max(1, AT_ONCE // len(means))
        for b in range(0, len(x), few):
            yield (x[b : b + few].double() @ means.T - offset) / v


@final
class MixtureOfGaussians(Toy):
    """Gaussians of equal weight and width; the label is the component.

    Args:
        centres: the means, each a list of D numbers.
        width: the standard deviation of each.

    Raises:
        UsageError: where the centres are not of one size, or width is not positive.

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
        if not width > 0:
            raise UsageError(f"width is {width}: expected a positive number.")
        self.means = torch.tensor(centres, dtype=torch.float64)
        self.width, self.spacing = width, 0.0

    def draw(self, n: int, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        y = torch.randint(len(self.means), (n,), generator=generator)
        noise = torch.randn(n, self.dimension, generator=generator)
        return self.means[y].float() + self.width * noise, y


class Parametrised(Toy):
    """A curve or surface x = point(t), with t uniform in a box, and noise of width s around it.

    The label tells in which tenth of its range the first parameter lies.
    """

    def __init__(self, box: Sequence[tuple[float, float, int]], noise: float) -> None:
        """Lay points at even steps in the box: each parameter's range, and its number of steps."""
        if not noise >= 0:
            raise UsageError(f"noise is {noise}: expected at least 0.")
        self.low, self.high, _ = torch.tensor(box, dtype=torch.float64).T
        steps = [(torch.arange(n, dtype=torch.float64) + 0.5) / n for _, _, n in box]
        u = torch.stack(torch.meshgrid(*steps, indexing="ij"), dim=-1)  # (*n, k)
        points = self.point(self._scaled(u.flatten(0, -2))).view(*u.shape[:-1], -1)
        gaps = [points.diff(dim=k).norm(dim=-1).max() for k in range(len(box))]
        self.grid, self.means = u.flatten(0, -2), points.flatten(0, -2)
        self.width, self.spacing = noise, float(max(gaps))

    def _scaled(self, u: Tensor) -> Tensor:
        return self.low + u * (self.high - self.low)  # type: ignore[no-any-return]

    @abstractmethod
    def point(self, t: Tensor) -> Tensor:
        """Map parameters (B, k) to points (B, D)."""

    def draw(self, n: int, generator: Generator | None = None) -> tuple[Tensor, Tensor]:
        u = torch.rand(n, len(self.low), dtype=torch.float64, generator=generator)
        x = self.point(self._scaled(u)).float()
        if self.width:
            x = x + self.width * torch.randn(x.shape, generator=generator)
        return x, (u[:, 0] * KINDS).long()

    def parameters(self, x: Tensor) -> Tensor:
        """Return the parameters (B, k) of the points nearest to x (B, D)."""
        x = x.double()
        t = self._scaled(torch.cat([self.grid[a.argmax(1)] for a in self._exponents(x, 1.0)]))
        for _ in range(3):  # Gauss-Newton, from the nearest point of the grid
            step = torch.linalg.lstsq(self._derivative(t), (x - self.point(t))[..., None]).solution
            t = t + step[..., 0]
        return t

    def tangents(self, x: Tensor) -> Tensor:
        """Return an orthonormal basis (B, k, D) of the tangent space at the point nearest to x."""
        Q = torch.linalg.qr(self._derivative(self.parameters(x))).Q  # (B, D, k)
        return Q.mT.to(x)  # type: ignore[no-any-return]

    def _derivative(self, t: Tensor) -> Tensor:
        """∂ point / ∂ t: (B, D, k)."""
        return differentials(self.point, t)


def differentials(f: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """Return ∂f/∂t (B, *S, k) of a map (B, k) -> (B, *S) that acts on each example by itself.

    >>> differentials(lambda t: t**2, torch.tensor([[3.0]]))
    tensor([[[6.]]])
    """
    directions = torch.eye(t.shape[1]).to(t)
    return torch.stack([jvp(f, t, e.expand_as(t))[1] for e in directions], dim=-1)  # type: ignore[no-untyped-call]


@final
class Ring(Parametrised):
    """A circle around the origin of R^D, in a plane that is fixed by D.

    Args:
        radius: the circle's radius.
        dimension: D; where it is 2, the plane is the whole.
        noise: the standard deviation of the data around the circle.

    Raises:
        UsageError: where radius is not positive, dimension below 2, or noise negative.

    >>> Ring(dimension=10).sample(2).norm(dim=1).round(decimals=4)
    tensor([1., 1.])
    """

    def __init__(self, radius: float = 1.0, dimension: int = 2, noise: float = 0.0) -> None:
        if not radius > 0 or dimension < 2:
            raise UsageError(
                f"Ring has radius {radius} and dimension {dimension}: expected a positive radius "
                "and at least 2 dimensions."
            )
        self.radius = radius
        self.plane = torch.eye(2, dtype=torch.float64)
        if dimension > 2:
            A = torch.randn(dimension, 2, dtype=torch.float64, generator=generator_of(dimension))
            self.plane = torch.linalg.qr(A).Q.T  # (2, D), orthonormal rows
        super().__init__([(0.0, 2 * math.pi, 2048)], noise)

    def point(self, t: Tensor) -> Tensor:
        return self.radius * torch.cat([t.cos(), t.sin()], dim=1) @ self.plane


@final
class Spiral(Parametrised):
    """An Archimedean spiral in the plane, whose arms lie `gap` apart.

    Args:
        gap: the distance of neighbouring arms.
        turns: how often it winds, from radius gap/2 on.
        noise: the standard deviation of the data around it.

    >>> Spiral().tangents(torch.tensor([[0.0, 1.0]])).shape
    torch.Size([1, 1, 2])
    """

    def __init__(self, gap: float = 0.7, turns: float = 2.0, noise: float = 0.0) -> None:
        if not min(gap, turns) > 0:
            raise UsageError(f"Spiral has gap {gap} and turns {turns}: expected positive numbers.")
        self.gap = gap
        super().__init__([(math.pi, math.pi * (1 + 2 * turns), 4096)], noise)

    def point(self, t: Tensor) -> Tensor:
        return self.gap / (2 * math.pi) * t * torch.cat([t.cos(), t.sin()], dim=1)


@final
class SwissRoll(Parametrised):
    """A sheet rolled up in R³: (t cos t, h, t sin t)/10 at t in [1.5π, 4.5π], h in [0, 20].

    Args:
        noise: the standard deviation of the data around it.

    >>> SwissRoll().tangents(SwissRoll().sample(5)).shape
    torch.Size([5, 2, 3])
    """

    def __init__(self, noise: float = 0.0) -> None:
        super().__init__([(1.5 * math.pi, 4.5 * math.pi, 400), (0.0, 20.0, 100)], noise)

    def point(self, t: Tensor) -> Tensor:
        t, h = t[:, :1], t[:, 1:]
        return torch.cat([t * t.cos(), h, t * t.sin()], dim=1) / 10
