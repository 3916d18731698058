"""A procedural set of shapes, with known factors and the true tangent of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError, nearest
from ae_lightning.core.randomness import generator_of

from .loading.batches import Arrays, Examples
from .pairs import PairDataModule, at_least
from .toys.parametrised import differentials

SIDE: Final = 32  # pixels
SOFTNESS: Final = 0.5  # pixels over which an edge fades
SPRITES: Final = 6  # keeps these draws apart from others for the same seed
FACTORS: Final = {
    "x": (-0.4, 0.4),  # of the centre, in half sides, rightwards
    "y": (-0.4, 0.4),  # downwards
    "scale": (0.3, 0.6),  # the shape's radius, in half sides
    "rotation": (0.0, 2 * math.pi),  # radians
}
SHAPES: Final = ("square", "ellipse", "triangle")
AT_ONCE: Final = 2000  # images drawn at once


def square(u: Tensor, v: Tensor) -> Tensor:
    """Distance beyond the edge of a square, negative inside."""
    return torch.maximum(u.abs(), v.abs()) - math.sqrt(0.5)


def ellipse(u: Tensor, v: Tensor) -> Tensor:
    """The same for an ellipse of half axes 1 and ½, near its edge."""
    radius = (u**2 + (2 * v) ** 2 + 1e-12).sqrt()
    slope = (u**2 + (4 * v) ** 2 + 1e-12).sqrt() / radius
    return (radius - 1) / slope


def triangle(u: Tensor, v: Tensor) -> Tensor:
    """The same for an equilateral triangle with its corners at distance 1."""
    w = math.sqrt(0.75)
    return torch.maximum(torch.maximum(w * u - v / 2, -w * u - v / 2), v) - 0.5


def render(factors: Tensor, shape: Tensor) -> Tensor:
    """Draw shapes: factors (B, 4) and the shape's number (B,) -> images (B, 1, 32, 32) in [0, 1].

    A pixel is sigmoid(−d/softness) at distance d of its centre from the edge, so that images are
    smooth in position, scale and rotation.
    """
    x, y, scale, rotation = (f[:, None, None] for f in factors.unbind(1))
    centre = (torch.arange(SIDE).to(factors) + 0.5) * 2 / SIDE - 1
    dx, dy = centre - x, centre[:, None] - y
    u = (rotation.cos() * dx + rotation.sin() * dy) / scale
    v = (rotation.cos() * dy - rotation.sin() * dx) / scale
    each = torch.stack([f(u, v) for f in (square, ellipse, triangle)])  # (3, B, 32, 32)
    d = each[shape, torch.arange(len(shape))] * scale * SIDE / 2  # pixels
    return torch.sigmoid(-d / SOFTNESS)[:, None]


@final
class Sprites(PairDataModule):
    """White squares, ellipses and triangles on black, of 32 × 32 pixels, and what made them.

    Position, scale, rotation and shape are independent and uniform, and functions of split_seed;
    the label is the shape. The splits are drawn separately.

    Args:
        size: how many training images there are; for validation and testing there are `val_size`
            each, a tenth of it if None.
        common: the arguments of `PairDataModule`: batch_size, corruption, val_size, seed,
            split_seed.

    Raises:
        UsageError: where size is below 1.

    >>> Sprites(size=10).tangents("train", [0]).shape
    torch.Size([1, 4, 1, 32, 32])
    """

    def __init__(self, size: int = 20_000, **common: Any) -> None:
        super().__init__(**common)
        at_least("size", size, 1)
        self.size = size

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, SIDE, SIDE)

    def _all(self, split: str) -> tuple[Tensor, Tensor]:
        """The factors (N, 4), in float64, and shapes (N,) of a split."""
        held_out = -(-self.size // 10) if self.val_size is None else self.val_size
        sizes = {"train": self.size, "val": held_out, "test": held_out}
        if split not in sizes:
            raise UsageError(f"there is no split {split!r}: {nearest(split, list(sizes))}")
        generator = generator_of(self.split_seed, list(sizes).index(split), 0, 0, SPRITES)
        low, high = torch.tensor(list(FACTORS.values()), dtype=torch.float64).T
        u = torch.rand(sizes[split], len(FACTORS), dtype=torch.float64, generator=generator)
        shape = torch.randint(len(SHAPES), (len(u),), generator=generator)
        return low + u * (high - low), shape

    def factors(self, split: str, index: Sequence[int]) -> Tensor:
        """Return x, y, scale, rotation and shape of the images at those places: (B, 5)."""
        factors, shape = self._all(split)
        rows = list(index)
        return torch.cat([factors[rows], shape[rows, None]], dim=1).float()

    def tangents(self, split: str, index: Sequence[int]) -> Tensor:
        """Return the image's true derivative by x, y, scale and rotation: (B, 4, 1, 32, 32)."""
        factors, shape = (t[list(index)] for t in self._all(split))
        J = differentials(lambda f: render(f, shape), factors)  # (B, 1, 32, 32, 4)
        return J.movedim(-1, 1).float()

    def read(self) -> Mapping[str, Examples]:
        return {split: self._drawn_all(split) for split in ("train", "val", "test")}

    def _drawn_all(self, split: str) -> Arrays:
        factors, shape = self._all(split)
        some = [slice(a, a + AT_ONCE) for a in range(0, len(shape), AT_ONCE)]
        images = [(render(factors[s].float(), shape[s]) * 255).round().byte() for s in some]
        return Arrays(torch.cat(images), shape)
