"""What torch.distributions lacks: a point mass, and samples keyed on the example."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, constraints, kl_divergence

from ae_lightning.randomness import row_seeds


class Dirac(Distribution):
    """A point mass at `value` (*batch, K); its density is no function, so it has no log_prob.

    >>> Dirac(torch.zeros(2, 3)).rsample((5,)).shape
    torch.Size([5, 2, 3])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    has_rsample = True

    def __init__(self, value: Tensor) -> None:
        self.value = value
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.value

    @property
    def mode(self) -> Tensor:
        return self.value

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.value)

    def rsample(self, sample_shape: torch.Size | tuple[int, ...] = ()) -> Tensor:
        return self.value.expand(*sample_shape, *self.value.shape)


def sample_by_index(q: Distribution, n: int, seed: int, index: Tensor) -> Tensor:
    """Draw n samples (n, B, K) whose noise in row b is a function of (seed, index[b]) alone.

    Location-scale families are drawn as μ + σ·ε, ε keyed on the example; any other
    distribution is drawn under one seed for the batch.
    """
    base = q.base_dist if isinstance(q, Independent) else q
    if isinstance(base, Dirac):
        return base.rsample((n,))
    if {"loc", "scale"} <= base.arg_constraints.keys() and base.batch_shape[:1] == index.shape:
        shape = base.loc.shape[1:]
        unit = type(base)(torch.zeros(shape), torch.ones(shape), validate_args=False)
        epsilon = []
        # Drawn on the CPU whatever the device, so that every device sees the same noise.
        with torch.random.fork_rng(devices=[]):
            for s in row_seeds(seed, index):
                torch.random.default_generator.manual_seed(s)
                epsilon.append(unit.sample((n,)))  # (n, K)
        return base.loc + base.scale * torch.stack(epsilon, dim=1).to(base.loc)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return q.rsample((n,))


def kl(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    r"""KL(q ‖ p) (B,), in closed form where there is one, else E_q[log q(z) − log p(z)] over z.

    Args:
        z: samples of q (R, B, K), for the Monte Carlo estimate.
    """
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return (q.log_prob(z) - p.log_prob(z)).mean(0)


def kl_per_dimension(q: Distribution, p: Distribution) -> Tensor | None:
    """KL of every dimension (B, K), where q and p are both products over them, else None."""
    if isinstance(q, Independent) and isinstance(p, Independent):
        return kl_divergence(q.base_dist, p.base_dist)
    return None
