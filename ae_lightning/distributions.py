"""What torch.distributions lacks: a point mass, samples keyed on the example, KL of any pair."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    Laplace,
    Normal,
    constraints,
    kl_divergence,
    register_kl,
)

from ae_lightning.parts import UsageError
from ae_lightning.randomness import uniform_by_index


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

    def rsample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        return self.value.expand(*sample_shape, *self.value.shape)

    def log_prob(self, value: Tensor) -> Tensor:
        raise UsageError(
            "a Dirac posterior has no density: use a stochastic one, such as DiagonalGaussian."
        )


class UnitNormal(Normal):
    """N(0, 1) in every dimension, whose divergences take half the operations of any Normal's."""


@register_kl(Normal, UnitNormal)  # type: ignore[untyped-decorator]
def _(q: Normal, p: UnitNormal) -> Tensor:
    return (q.loc.square() + q.scale.square() - 1) / 2 - q.scale.log()


LOCATION_SCALE = (Normal, Laplace)  # exactly these: a subclass may be μ + σ·ε no more


def sample_by_index(q: Distribution, n: int, seed: int, index: Tensor) -> Tensor:
    """Draw n samples (n, B, K) whose noise in row b is a function of (seed, index[b]) alone.

    Normal and Laplace, and products of them, are drawn as μ + σ·ε, ε keyed on the example; any
    other distribution is drawn under one seed for the batch. The state of torch's generators is
    left as it was.

    >>> q = Independent(Normal(torch.zeros(2, 3), torch.ones(3)), 1)
    >>> z = sample_by_index(q, 1, seed=0, index=torch.tensor([7, 9]))
    >>> torch.equal(sample_by_index(q, 1, 0, torch.tensor([9, 7])), z.flip(1))
    True
    """
    base: Any = q.base_dist if isinstance(q, Independent) else q
    if isinstance(base, Dirac):
        return base.rsample((n,))
    if type(base) in LOCATION_SCALE and base.batch_shape[:1] == index.shape:
        # Drawn on the CPU in double precision whatever the model's, so that all see the same.
        u = uniform_by_index(seed, index.cpu(), n * base.loc[0].numel())
        zero = u.new_zeros(())
        epsilon = type(base)(zero, zero + 1, validate_args=False).icdf(u)  # (B, n·K)
        epsilon = epsilon.view(len(index), n, *base.loc.shape[1:]).transpose(0, 1)
        return base.loc + base.scale * epsilon.to(base.loc)  # type: ignore[no-any-return]
    device = q.mean.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        return q.rsample((n,))


def kl(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    r"""KL(q ‖ p) (B,), in closed form where there is one, else E_q[log q(z) − log p(z)] over z.

    Args:
        z: samples of q (R, B, K), for the Monte Carlo estimate.

    >>> q = Independent(Normal(torch.zeros(2, 3), torch.ones(3)), 1)
    >>> kl(q, q, q.sample((1,)))
    tensor([0., 0.])
    """
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return (q.log_prob(z) - p.log_prob(z)).mean(0)


def kl_per_dimension(q: Distribution, p: Distribution) -> Tensor | None:
    """KL of every dimension (B, K), where q and p are products of a closed form, else None."""
    if not (isinstance(q, Independent) and isinstance(p, Independent)):
        return None
    if not q.base_dist.event_shape == p.base_dist.event_shape == ():
        return None
    try:
        return kl_divergence(q.base_dist, p.base_dist)
    except NotImplementedError:
        return None
