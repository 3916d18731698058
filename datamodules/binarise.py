"""Turn grey images black and white, by a fixed threshold or at random."""

from typing import final

from torch import Generator, Tensor

from ae_lightning.corruptions import LEVELS, Corruption, probability, random_int16


class Binarise(Corruption):
    """Make the clean x, of zeros and ones, from grey values in [0, 1]."""


@final
class Threshold(Binarise):
    """x = 1 if the grey value is at least `at`, otherwise 0.

    Args:
        at: the grey value, in [0, 1].

    Raises:
        UsageError: if `at` is outside [0, 1].

    >>> import torch
    >>> Threshold()(torch.tensor([0.2, 0.8]))
    tensor([0., 1.])
    """

    random = False

    def __init__(self, at: float = 0.5) -> None:
        super().__init__()
        self.at = probability(at, "Threshold.at")

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        return (x >= self.at).to(x.dtype)


@final
class Dynamic(Binarise):
    """x ~ Bernoulli(grey value), drawn afresh each time a training example is.

    The draw of a validation or test example is fixed, a function of (split_seed, example).

    References:
        | Importance Weighted Autoencoders (Burda, Grosse and Salakhutdinov, 2016)

    >>> import torch
    >>> Dynamic()(torch.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """

    def forward(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        return (x * LEVELS - LEVELS // 2 > random_int16(x, generator)).to(x.dtype)
