"""Samples whose noise is a function of the example, so that evaluations agree everywhere."""

from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    Laplace,
    Normal,
    TransformedDistribution,
)

from ae_lightning.core.randomness import uniform_by_index
from ae_lightning.distributions.point_mass import PointMass

LOCATION_SCALE = (Normal, Laplace)  # exactly these: a subclass need not be μ + σ·ε


def sample_by_index(q: Distribution, n: int, seed: int, index: Tensor) -> Tensor:
    """Draw n samples (n, B, K) whose noise in row b is a function of (seed, index[b]) alone.

    Normal and Laplace, and products and transforms of them, are drawn as μ + σ·ε, with ε keyed on
    the example; any other distribution is drawn with one seed for the batch. The state of torch's
    generators is left unchanged.

    >>> q = Independent(Normal(torch.zeros(2, 3), torch.ones(3)), 1)
    >>> z = sample_by_index(q, 1, seed=0, index=torch.tensor([7, 9]))
    >>> torch.equal(sample_by_index(q, 1, 0, torch.tensor([9, 7])), z.flip(1))
    True
    """
    if isinstance(q, Independent):
        return sample_by_index(q.base_dist, n, seed, index)
    if isinstance(q, PointMass):
        return q.rsample((n,))
    if type(q) in LOCATION_SCALE and q.batch_shape[:1] == index.shape:
        base: Any = q
        # On the CPU and in double precision: the noise is then the same for every model and device.
        u = uniform_by_index(seed, index.cpu(), n * base.loc[0].numel())
        zero = u.new_zeros(())
        epsilon = type(base)(zero, zero + 1, validate_args=False).icdf(u)  # (B, n·K)
        epsilon = epsilon.view(len(index), n, *base.loc.shape[1:]).transpose(0, 1)
        return base.loc + base.scale * epsilon.to(base.loc)  # type: ignore[no-any-return]
    if isinstance(q, TransformedDistribution):
        z = sample_by_index(q.base_dist, n, seed, index)
        return reduce(lambda z, transform: transform(z), q.transforms, z)
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        return q.rsample((n,))
