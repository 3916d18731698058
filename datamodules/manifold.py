"""Vectors drawn from a toy density, on or near a manifold."""

from collections.abc import Mapping
from typing import Any, final

from ae_lightning.core.errors import at_least
from ae_lightning.core.randomness import generator_of

from .loading.datasets import Examples, InMemory
from .loading.purposes import TOY
from .pairs import PairDataModule
from .toys.densities import MixtureOfGaussians, Toy


@final
class Manifold(PairDataModule):
    """Draws from a toy density: real, unbounded vectors, to train on with `Gaussian`.

    `toy` has the density's `log_prob(x, sigma)`, `score(x, sigma)` and, on a curve or surface,
    `tangents(x)`. The draws are a function of split_seed.

    Args:
        toy: `MixtureOfGaussians` (if None), `Ring`, `Spiral`, `SwissRoll`, or your own `Toy`.
        size: how many vectors all splits hold together.
        common: the arguments of `PairDataModule`.

    Raises:
        UsageError: if size is below 3.

    >>> Manifold(size=1000).pairs("val", [0, 1]).x.shape
    torch.Size([2, 2])
    """

    value_range = None

    def __init__(self, toy: Toy | None = None, size: int = 60_000, **common: Any) -> None:
        super().__init__(**common)
        at_least("size", size, 3)
        self.toy = MixtureOfGaussians() if toy is None else toy
        self.size = size

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.toy.dimension,)

    def read(self) -> Mapping[str, Examples]:
        generator = generator_of(self.split_seed, 0, 0, 0, TOY)
        return {"train": InMemory(*self.toy.draw(self.size, generator))}
