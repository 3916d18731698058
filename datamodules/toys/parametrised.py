"""Toys on curves and surfaces, with their parameters and tangents."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, final

import torch
from torch import Generator, Tensor
from torch.autograd.functional import jvp

from ae_lightning.core.errors import UsageError, at_least
from ae_lightning.core.randomness import generator_of

from .densities import Toy

PIECES: Final = 10  # of the first parameter's range, which label the examples


class Parametrised(Toy):
    """A curve or surface x = point(t), with t uniform in a box, and noise of width s around it.

    The label is the tenth of its range that the first parameter lies in.
    """

    def __init__(self, box: Sequence[tuple[float, float, int]], noise: float) -> None:
        """Lay points at even steps in the box: each parameter's low, high and number of steps."""
        self.low, self.high, _ = torch.tensor(box, dtype=torch.float64).T
        steps = [(torch.arange(n, dtype=torch.float64) + 0.5) / n for _, _, n in box]
        u = torch.stack(torch.meshgrid(*steps, indexing="ij"), dim=-1)  # (*n, k)
        points = self.point(self._scaled(u.flatten(0, -2))).view(*u.shape[:-1], -1)
        gaps = [points.diff(dim=k).norm(dim=-1).max() for k in range(len(box))]
        self.grid, self.means = u.flatten(0, -2), points.flatten(0, -2)
        self.width, self.spacing = at_least("noise", noise, 0), float(max(gaps))

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
        return x, (u[:, 0] * PIECES).long()

    def parameters(self, x: Tensor) -> Tensor:
        """Return the parameters (B, k) of the points nearest to x (B, D)."""
        x = x.double()
        t = self._scaled(torch.cat([self.grid[a.argmax(1)] for a in self._exponents(x, 1.0)]))
        for _ in range(3):  # Gauss-Newton, from the nearest point of the grid
            J, error = differentials(self.point, t), x - self.point(t)
            t = t + torch.linalg.lstsq(J, error[..., None]).solution[..., 0]
        return t

    def tangents(self, x: Tensor) -> Tensor:
        """Return an orthonormal basis (B, k, D) of the tangent space at the point nearest to x."""
        Q = torch.linalg.qr(differentials(self.point, self.parameters(x))).Q  # (B, D, k)
        return Q.mT.to(x)  # type: ignore[no-any-return]


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
        dimension: D; if 2, the plane is the whole space.
        noise: the standard deviation of the data around the circle.

    Raises:
        UsageError: if radius is not positive, dimension is below 2, or noise is negative.

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
    """An Archimedean spiral in the plane, with arms `gap` apart.

    Args:
        gap: the distance between neighbouring arms.
        turns: how often it winds, starting from radius gap/2.
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
