"""Chains of a denoising model: what it takes for data, found step by step from noise."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from ae_lightning.core.errors import UsageError, at_least
from ae_lightning.core.randomness import seed_of, seeded
from ae_lightning.core.showing import shown
from ae_lightning.corruptions import Corruption, GaussianNoise
from ae_lightning.distributions import IndependentNormal
from ae_lightning.inference.inputs import open_inputs, thinned
from ae_lightning.inference.trained import TrainedModel
from ae_lightning.likelihoods import Gaussian
from ae_lightning.model import Model
from ae_lightning.samplers import annealed_langevin, langevin, walkback

EXAMPLES: Final = 1000  # from which a chain learns where to start
WALKBACK_STEPS: Final = 50  # longer chains of an imperfect denoiser find what is no data
LANGEVIN_STEPS: Final = 150
ANNEALED_STEPS: Final = 750
BETA: Final = 0.2  # of `annealed_langevin`
EPSILON: Final = 0.1  # a step of Langevin's, by σ²


@shown
class Chain(NamedTuple):
    """What a chain of a denoising model needs to know beside the model.

    Args:
        model: the model.
        corruption: what it was trained to undo.
        mean, spread: of the data (*S).
        error: the root mean square of r(x̃) − x, the spread of p(x|x̃) if the model leaves it open.
    """

    model: Model
    corruption: Corruption
    mean: Tensor
    spread: Tensor
    error: float

    def denoised(self, x: Tensor) -> Tensor:
        """r(x) within the data's range, where the mean of p(x|x̃) lies."""
        r = self.model.reconstruct(x)
        return r if self.model.value_range is None else r.clamp(*self.model.value_range)

    def reverse(self, x: Tensor) -> Distribution:
        """p(x|x̃): the model's own, or of a Gaussian whose σ it took as given, with the best σ."""
        likelihood = self.model.likelihood
        if not isinstance(likelihood, Gaussian) or likelihood.raw is not None:
            return self.model.decode(self.model.code(x))
        log_sigma = torch.tensor(math.log(self.error), device=x.device)
        return IndependentNormal(self.denoised(x), log_sigma, x.ndim - 1)

    def start(self, n: int) -> Tensor:
        """Draw n starting points (n, *S), far from the data."""
        noise = torch.randn(n, *self.mean.shape, device=self.mean.device)
        largest = self.corruption.largest if isinstance(self.corruption, GaussianNoise) else None
        if self.model.value_range is None:
            return self.mean + (largest or self.spread) * noise
        low, high = self.model.value_range
        if largest is None:
            return low + (high - low) * torch.rand_like(noise)
        return (low + high) / 2 + largest * noise

    def walkback(self, n: int, steps: int | None) -> Tensor:
        """Corrupt and draw from p(x|x̃) by turns; return the last r(x̃)."""
        x = walkback(self.reverse, self.corruption, self.start(n), steps or WALKBACK_STEPS)
        return self.denoised(self.corruption(x))

    def langevin(self, n: int, steps: int | None) -> Tensor:
        """Walk along the score of p_σ, annealed over the σ of training, and jump to r(x).

        Raises:
            UsageError: if the corruption is not Gaussian.

        References:
            | Neural Empirical Bayes (Saremi and Hyvärinen, 2019): walk and jump
        """
        if not (isinstance(self.corruption, GaussianNoise) and self.corruption.sigma > 0):
            name = type(self.corruption).__name__
            raise UsageError(
                f"langevin needs a model trained under GaussianNoise, and this was under {name}: "
                "take walkback."
            )
        sigma, largest = self.corruption.sigma, self.corruption.largest
        x = self.start(n)
        if largest is None:
            score = partial(self._score, sigma=sigma)
            return self.denoised(langevin(score, x, EPSILON * sigma**2, steps or LANGEVIN_STEPS))
        step = min(1.0, math.log(largest / sigma) / (BETA * (steps or ANNEALED_STEPS)))
        return self.denoised(annealed_langevin(self.denoised, x, sigma, step, BETA))

    def _score(self, x: Tensor, sigma: float) -> Tensor:
        return (self.denoised(x) - x) / sigma**2


@torch.no_grad()
def chain_of(trained: TrainedModel, data: Sequence[str] = (), batch_size: int = 256) -> Chain:
    """Return what a chain of a model needs to know, from some of its data.

    Raises:
        UsageError: if there are no such data, or the model was not trained to denoise.
    """
    inputs = thinned(open_inputs(trained, data, None if data else "train"), EXAMPLES)
    corruption = inputs.data.corruption
    if not corruption.random:
        raise UsageError(
            f"a chain needs a model that was trained to denoise, and {trained.file} was not: leave "
            "out by, to draw from a density of its codes."
        )
    pairs = [b.pair for b in inputs.batches(batch_size, trained.device, "Reading", True)]
    x = torch.cat([pair.x for pair in pairs])
    found = Chain(trained.model, corruption, x.mean(0), x.std(0, unbiased=False), 0.0)
    square = sum(float((found.denoised(p.x_tilde) - p.x).square().sum()) for p in pairs)
    return found._replace(error=math.sqrt(square / x.numel()) or 1e-6)


@torch.no_grad()
def run_chains(
    chain: Chain, by: str, n: int, steps: int | None, seed: int, batch_size: int
) -> Tensor:
    """Run n chains of a kind, walkback or langevin, and return where they end (n, *S)."""
    if steps is not None:
        at_least("steps", steps, 1)
    run = chain.walkback if by == "walkback" else chain.langevin
    ends = list[Tensor]()
    for first in range(0, n, batch_size):
        with seeded(seed_of(seed, first), chain.mean.device):
            ends.append(run(min(batch_size, n - first), steps))
    return torch.cat(ends)
