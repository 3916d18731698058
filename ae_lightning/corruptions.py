r"""Corruption processes C(x̃|x): what a denoising autoencoder learns to undo.

A corruption acts on a whole batch, on the batch's device, and draws from the generator it is given:
in training one keyed on the step, in evaluation one keyed on the example (`corrupt_by_index`).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

import torch
from torch import Generator, Tensor, nn

from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import Part
from ae_lightning.core.randomness import row_seeds

LEVELS: Final = 2**16  # probabilities are exact to 1/LEVELS


class Corruption(Part, ABC):
    """Draw x̃ ~ C(x̃|x), independently for every example of a batch."""

    random = True  # False if x̃ is a function of x alone

    @abstractmethod
    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """Return x̃ (B, *S) for x (B, *S); the generator's device is x's."""


class Clean(Corruption):
    """The identity: x̃ is x itself.

    >>> x = torch.ones(2, 3)
    >>> Clean()(x) is x
    True
    """

    random = False

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        return x


class GaussianNoise(Corruption):
    r"""Add independent Gaussian noise: x̃ = x + σ ε, ε ~ N(0, I), not clipped.

    Given a `largest`, every example has a σ of its own, log-uniform from `sigma` to `largest`: the
    model then learns to denoise at each of them, as annealed chains need.

    Args:
        sigma: the standard deviation σ, in the data's units (pixels lie in [0, 1]).
        largest: of the standard deviations; all are `sigma`, if None.

    Raises:
        UsageError: if sigma is negative, or a range is not one: 0 < sigma < largest.

    References:
        | Solving Linear Inverse Problems Using the Prior Implicit in a Denoiser
        | (Kadkhodaie and Simoncelli, 2021)

    >>> GaussianNoise(sigma=0.5)(torch.zeros(10_000, 10)).std().round(decimals=2)
    tensor(0.5000)
    >>> sigmas = GaussianNoise(sigma=0.01, largest=1.0)(torch.zeros(1000, 500)).std(1)
    >>> sigmas.log10().mean().round(decimals=1)
    tensor(-1.)
    """

    def __init__(self, sigma: float = 0.3, largest: float | None = None) -> None:
        super().__init__()
        if not 0 <= sigma < float("inf"):
            raise UsageError(f"GaussianNoise.sigma is {sigma}: expected a number of at least 0.")
        if largest is not None and not 0 < sigma < largest < float("inf"):
            raise UsageError(
                f"GaussianNoise.sigma is {sigma} and largest {largest}: expected two numbers above "
                "0, the second above the first."
            )
        self.sigma, self.largest = sigma, largest

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        if self.sigma == 0:
            return x
        if self.largest is None:
            return torch.empty_like(x).normal_(0.0, self.sigma, generator=generator).add_(x)
        u = torch.rand(len(x), *[1] * (x.ndim - 1), generator=generator, device=x.device)
        sigma = self.sigma * (self.largest / self.sigma) ** u.to(x.dtype)  # (B, 1, …)
        return torch.empty_like(x).normal_(generator=generator).mul_(sigma).add_(x)


class Dequantise(Corruption):
    r"""Spread bytes over their steps: x = (255 x + u)/256, u ~ U[0, 1), of a density on [0, 1).

    References:
        | A Note on the Evaluation of Generative Models (Theis, van den Oord and Bethge, 2016)

    >>> x = Dequantise()(torch.ones(10_000))
    >>> x.min() >= 255 / 256, x.max() < 1
    (tensor(True), tensor(True))
    """

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        u = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        below = 1 - torch.finfo(x.dtype).eps / 2  # to which 255 + u may round up
        return ((x * 255).round().add(u) / 256).clamp_(max=below)


class Masking(Corruption):
    """Set each element to 0 with probability p, exact to 2⁻¹⁶; the others are not rescaled.

    Args:
        p: the probability, in [0, 1].

    Raises:
        UsageError: if p is outside [0, 1].

    References:
        | Extracting and Composing Robust Features with Denoising Autoencoders
        | (Vincent et al., 2008)

    >>> Masking(p=1.0)(torch.ones(1, 4))
    tensor([[0., 0., 0., 0.]])
    """

    def __init__(self, p: float = 0.3) -> None:
        super().__init__()
        self.p = probability(p, "Masking.p")

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        dropped = round(self.p * LEVELS)
        if dropped == 0:
            return x
        kept = random_int16(x, generator) > dropped - LEVELS // 2 - 1
        return x * kept


class SaltAndPepper(Corruption):
    """Replace each element by `low` or by `high`, each with probability p/2.

    Args:
        p: the probability, in [0, 1]; p/2 is exact to 2⁻¹⁶.
        low, high: the data's smallest and largest value.

    Raises:
        UsageError: if p is outside [0, 1].

    >>> SaltAndPepper(p=1.0)(torch.full((1, 1000), 0.5)).unique()
    tensor([0., 1.])
    """

    def __init__(self, p: float = 0.3, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        self.p, self.low, self.high = probability(p, "SaltAndPepper.p"), low, high

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        each = round(self.p * LEVELS / 2)
        if each == 0:
            return x
        r, half = random_int16(x, generator), LEVELS // 2
        pepper, salt = r < each - half, r > half - 1 - each
        # Products and sums: a masked fill mispredicts a branch at every element.
        x_tilde = (x * ~(pepper | salt)).add_(salt, alpha=self.high)
        return x_tilde.add_(pepper, alpha=self.low) if self.low else x_tilde


class BlockMasking(Corruption):
    """Set squares of size × size pixels to 0, at positions drawn uniformly among those that fit.

    Args:
        size: the side of a block, in pixels.
        blocks: the number of blocks per image; they may overlap.

    Raises:
        UsageError: if size or blocks is below 1, or the examples are not images this large.

    >>> BlockMasking(size=2)(torch.ones(1, 1, 4, 4)).sum()
    tensor(12.)
    """

    def __init__(self, size: int = 8, blocks: int = 1) -> None:
        super().__init__()
        if size < 1 or blocks < 1:
            raise UsageError(f"BlockMasking.size is {size}, blocks {blocks}: expected at least 1.")
        self.size, self.blocks = size, blocks

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        if x.ndim != 4 or min(x.shape[2:]) < self.size:
            raise UsageError(
                f"BlockMasking.size is {self.size}: expected images (C, H, W) of at least that "
                f"height and width, not {tuple(x.shape[1:])}."
            )
        rows, columns = (self._covered(x, side, generator) for side in x.shape[2:])
        covered = (rows[..., :, None] & columns[..., None, :]).any(1)  # (B, H, W)
        return x * ~covered[:, None]

    def _covered(self, x: Tensor, side: int, generator: Generator | None) -> Tensor:
        """Return which pixels along a side each block covers: (B, blocks, side)."""
        first = torch.randint(
            side - self.size + 1, (len(x), self.blocks, 1), generator=generator, device=x.device
        )
        place = torch.arange(side, device=x.device)
        return (place >= first) & (place < first + self.size)


class Compose(Corruption):
    """Apply corruptions one after another, in order.

    >>> Compose([Masking(p=1.0), SaltAndPepper(p=1.0, low=0.5, high=0.5)])(torch.ones(1, 2))
    tensor([[0.5000, 0.5000]])
    """

    def __init__(self, corruptions: list[Corruption]) -> None:
        super().__init__()
        self.corruptions: Sequence[Corruption] = nn.ModuleList(corruptions)  # type: ignore[assignment]
        self.random = any(c.random for c in corruptions)

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        for corruption in self.corruptions:
            x = corruption(x, generator)
        return x


def corrupt_by_index(corruption: Corruption, x: Tensor, seed: int, index: Tensor) -> Tensor:
    """Corrupt x (B, *S) so that row b's noise is a function of (seed, index[b]) alone.

    The noise is drawn on the CPU, so that it is the same whatever the device of x.

    >>> x, index = torch.ones(3, 2), torch.tensor([5, 6, 7])
    >>> whole = corrupt_by_index(GaussianNoise(), x, 0, index)
    >>> bool((whole[1:] == corrupt_by_index(GaussianNoise(), x[1:], 0, index[1:])).all())
    True
    """
    if not corruption.random:
        return corruption(x)  # type: ignore[no-any-return]
    generator, seeds = Generator(), row_seeds(seed, index)
    here = x.cpu()
    rows = [corruption(here[b : b + 1], generator.manual_seed(s)) for b, s in enumerate(seeds)]
    return torch.cat(rows).to(x.device)


def random_int16(x: Tensor, generator: Generator | None) -> Tensor:
    """Draw uniform 16-bit integers in x's shape and on its device, four from each 64-bit draw."""
    n = x.numel()
    words = torch.empty(-(-n // 4), dtype=torch.int64, device=x.device)
    # Without an explicit range, random_() draws 63 bits and leaves every sign bit at 0.
    return words.random_(-(2**63), None, generator=generator).view(torch.int16)[:n].view(x.shape)


def probability(p: float, name: str) -> float:
    """Return p, or raise UsageError if it is outside [0, 1]."""
    if not 0 <= p <= 1:
        raise UsageError(f"{name} is {p}: expected a probability in [0, 1].")
    return p
