"""Distributions p(x|z) over whole examples: products over the elements of an event.

The densities are those of torch.distributions, several times faster: a scale that all elements
share is never expanded, and one logarithm is taken of a product of many factors.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch import distributions as td
from torch.distributions import Distribution, Independent

from ae_lightning.core.errors import UsageError


def single(x: Tensor) -> Tensor:
    """Return x in at least float32: sums over an event need that precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def bounded(log_sigma: Tensor) -> Tensor:
    r"""Slow a log σ down beyond ±10, so that float32 can square σ, and its gradient never vanishes.

    It is the identity within, and ±(10 + asinh(|log σ| − 10)) beyond.

    >>> bounded(torch.tensor([-1000.0, -1.5, 11.0]))
    tensor([-17.5909,  -1.5000,  10.8814])
    """
    excess = F.softshrink(log_sigma, 10)
    return log_sigma - excess + excess.asinh()


def require_event(p: Distribution, event: Sequence[int], whose: str) -> None:
    """Raise UsageError unless p is over whole events, so that its log density sums over each.

    >>> require_event(td.Normal(torch.zeros(2, 3), 1.0), (3,), "Mine")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ae_lightning.core.errors.UsageError: Mine returned events of shape () (Normal): expected...
    """
    if p.event_shape != event:
        raise UsageError(
            f"{whose} returned events of shape {tuple(p.event_shape)} ({type(p).__name__}): "
            f"expected {tuple(event)}, such as Independent(…, {len(event)}) has."
        )


class IndependentNormal(Independent):  # type: ignore[type-arg]
    r"""Π_d N(x_d; m_d, σ_d²): −log p(x) = Σ_d (x_d − m_d)²/(2σ_d²) + log σ_d + ½ log 2π.

    Args:
        loc: m (*batch, *event).
        log_sigma: log σ, of the shape of m, or () if all elements share it.
        event_dims: how many of the last dimensions are one event.

    >>> IndependentNormal(torch.zeros(2, 3), torch.tensor(0.0), 1).log_prob(torch.zeros(3))
    tensor([-2.7568, -2.7568])
    """

    def __init__(self, loc: Tensor, log_sigma: Tensor, event_dims: int) -> None:
        self.log_sigma = log_sigma
        base = td.Normal(loc, log_sigma.exp(), validate_args=False)
        super().__init__(base, event_dims, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        error, s, D = value - self.base_dist.loc, self.log_sigma, self.event_shape.numel()
        if s.dim() == 0:
            energy = self._sum(error.square()) * (-2 * s).exp() / 2 + D * s
        else:
            energy = self._sum((error * (-s).exp()).square() / 2 + s)
        return -energy - D / 2 * math.log(2 * math.pi)

    def _sum(self, x: Tensor) -> Tensor:
        return x.flatten(-len(self.event_shape)).sum(-1)


class IndependentLaplace(Independent):  # type: ignore[type-arg]
    r"""Π_d Laplace(x_d; m_d, b): −log p(x) = Σ_d |x_d − m_d|/b + log 2b.

    Args:
        loc: m (*batch, *event).
        scale: b, shared by all elements.
        event_dims: how many of the last dimensions are one event.
    """

    def __init__(self, loc: Tensor, scale: float, event_dims: int) -> None:
        self.scale = scale
        super().__init__(td.Laplace(loc, scale, validate_args=False), event_dims, False)

    def log_prob(self, value: Tensor) -> Tensor:
        error = (value - self.base_dist.loc).abs().flatten(-len(self.event_shape)).sum(-1)
        nll: Tensor = error / self.scale + self.event_shape.numel() * math.log(2 * self.scale)
        return -nll


class IndependentBernoulli(Independent):  # type: ignore[type-arg]
    r"""Π_d Bernoulli(x_d; sigmoid(l_d)): log p(x) = Σ_d x_d l_d − log(1 + e^{l_d}).

    Args:
        logits: l (*batch, *event).
        event_dims: how many of the last dimensions are one event.
    """

    def __init__(self, logits: Tensor, event_dims: int) -> None:
        base = td.Bernoulli(logits=logits, validate_args=False)
        super().__init__(base, event_dims, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        # Not a matrix product: autocast would run it in half precision.
        dims = len(self.event_shape)
        logits = self.base_dist.logits.flatten(-dims)
        log_p: Tensor = (value.flatten(-dims) * logits).sum(-1) - SumSoftplus.apply(logits)
        return log_p


@cache
def _group(D: int) -> int:
    """Return the largest divisor d of D for which a product of d factors ≤ 2 fits in float32."""
    return max(d for d in range(1, 127) if D % d == 0)


class SumSoftplus(torch.autograd.Function):
    r"""Σ_d log(1 + e^{l_d}) over the last dimension, as Σ_d max(l_d, 0) + log Π_d (1 + e^{−|l_d|}).

    A logarithm costs as much as ten of the other operations, so one is taken per product.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(l: Tensor) -> Tensor:
        factors = l.abs().neg_().exp_().add_(1)
        products = factors.view(*l.shape[:-1], -1, _group(l.shape[-1])).prod(-1)
        return l.clamp(min=0).sum(-1) + products.log_().sum(-1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (l,) = ctx.saved_tensors
        return g.unsqueeze(-1) * l.sigmoid()
