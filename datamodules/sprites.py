"""A procedural set of shapes, with each image's known factors and true tangents."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError, at_least, nearest
from ae_lightning.core.randomness import generator_of

from .loading.datasets import Examples, InMemory
from .loading.purposes import SPRITES
from .loading.splits import held_out
from .pairs import SPLITS, PairDataModule
from .toys.parametrised import differentials

SPRITE_SIDE: Final = 32  # pixels
SOFTNESS: Final = 0.5  # pixels over which an edge fades
FACTORS: Final = {
    "x": (-0.4, 0.4),  # of the centre, in half sides, rightwards
    "y": (-0.4, 0.4),  # downwards
    "scale": (0.3, 0.6),  # the shape's radius, in half sides
    "rotation": (0.0, 2 * math.pi),  # radians
}
# Each with the angle after which it looks the same: no image tells more of its rotation.
SHAPES: Final = {"square": math.pi / 2, "ellipse": math.pi, "triangle": 2 * math.pi / 3}
DRAWN_AT_ONCE: Final = 2000  # images


def square(u: Tensor, v: Tensor) -> Tensor:
    """Distance beyond the edge of a square with its corners at distance 1, negative inside."""
    return torch.maximum(u.abs(), v.abs()) - math.sqrt(0.5)


def ellipse(u: Tensor, v: Tensor) -> Tensor:
    """Distance beyond the edge of an ellipse with half axes 1 and ½, exact near the edge."""
    radius = (u**2 + (2 * v) ** 2 + 1e-12).sqrt()
    slope = (u**2 + (4 * v) ** 2 + 1e-12).sqrt() / radius
    return (radius - 1) / slope


def triangle(u: Tensor, v: Tensor) -> Tensor:
    """Distance beyond the edge of an equilateral triangle with its corners at distance 1."""
    w = math.sqrt(0.75)
    return torch.maximum(torch.maximum(w * u - v / 2, -w * u - v / 2), v) - 0.5


def draw_shapes(factors: Tensor, shape: Tensor) -> Tensor:
    """Draw shapes: factors (B, 4) and the shape's number (B,) -> images (B, 1, 32, 32) in [0, 1].

    A pixel is sigmoid(−d/softness) at distance d of its centre from the edge, so that images are
    smooth in position, scale and rotation.
    """
    x, y, scale, rotation = (f[:, None, None] for f in factors.unbind(1))
    centre = (torch.arange(SPRITE_SIDE).to(factors) + 0.5) * 2 / SPRITE_SIDE - 1
    dx, dy = centre - x, centre[:, None] - y
    u = (rotation.cos() * dx + rotation.sin() * dy) / scale
    v = (rotation.cos() * dy - rotation.sin() * dx) / scale
    each = torch.stack([f(u, v) for f in (square, ellipse, triangle)])  # (3, B, 32, 32)
    d = each[shape, torch.arange(len(shape))] * scale * SPRITE_SIDE / 2  # pixels
    return torch.sigmoid(-d / SOFTNESS)[:, None]


@final
class Sprites(PairDataModule):
    """White squares, ellipses and triangles on black, 32 × 32 pixels, and the factors behind them.

    Position, scale, rotation and shape are drawn independently and uniformly, as a function of
    split_seed; the label is the shape. Each split is drawn separately.

    Args:
        size: how many training images to draw; validation and testing get `val_size` images each, a
            tenth of size if None.
        common: the arguments of `PairDataModule`.

    Raises:
        UsageError: if size is below 1.

    >>> Sprites(size=10).tangents("train", [0]).shape
    torch.Size([1, 4, 1, 32, 32])
    """

    shape = (1, SPRITE_SIDE, SPRITE_SIDE)

    def __init__(self, size: int = 20_000, **common: Any) -> None:
        super().__init__(**common)
        at_least("size", size, 1)
        self.size = size

    def _all(self, split: str) -> tuple[Tensor, Tensor]:
        """The factors (N, 4), in float64, and shapes (N,) of a split."""
        apart = -(-self.size // 10) if self.val_size is None else held_out(self.size, self.val_size)
        sizes = {"train": self.size, "val": apart, "test": apart}
        if split not in sizes:
            raise UsageError(f"there is no split {split!r}: {nearest(split, list(sizes))}")
        generator = generator_of(self.split_seed, list(sizes).index(split), 0, 0, SPRITES)
        low, high = torch.tensor(list(FACTORS.values()), dtype=torch.float64).T
        u = torch.rand(sizes[split], len(FACTORS), dtype=torch.float64, generator=generator)
        shape = torch.randint(len(SHAPES), (len(u),), generator=generator)
        return low + u * (high - low), shape

    def factors(self, split: str, places: Sequence[int]) -> Tensor:
        """Return the x, y, scale, rotation and shape of the images at those places: (B, 5).

        The rotation is that within the shape's period: π/2, π or 2π/3.
        """
        factors, shape = self._all(split)
        rows = list(places)
        factors[:, 3] %= torch.tensor(list(SHAPES.values()), dtype=factors.dtype)[shape]
        return torch.cat([factors[rows], shape[rows, None]], dim=1).float()

    def tangents(self, split: str, places: Sequence[int]) -> Tensor:
        """Return each image's true derivatives by x, y, scale and rotation: (B, 4, 1, 32, 32)."""
        factors, shape = (t[list(places)] for t in self._all(split))
        J = differentials(lambda f: draw_shapes(f, shape), factors)  # (B, 1, 32, 32, 4)
        return J.movedim(-1, 1).float()

    def read(self) -> Mapping[str, Examples]:
        return {split: self._drawn_all(split) for split in SPLITS}

    def _drawn_all(self, split: str) -> InMemory:
        factors, shape = self._all(split)
        some = [slice(a, a + DRAWN_AT_ONCE) for a in range(0, len(shape), DRAWN_AT_ONCE)]
        images = [(draw_shapes(factors[s].float(), shape[s]) * 255).round().byte() for s in some]
        return InMemory(torch.cat(images), shape)
