"""Distributions p(x|z) over whole examples: products over the elements, summed as they go.

The densities are those of torch.distributions; but a scale that all elements share is never
expanded to them, and logarithms are taken of products, which makes them several times faster.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Size, Tensor
from torch import distributions as td
from torch.autograd.function import once_differentiable
from torch.distributions import Distribution, Independent, constraints

SMALL = 0.5  # below it, the functions of a continuous Bernoulli's logit are Taylor series
# The Bernoulli numbers B₂ₙ/(2n)!: at |l| < 0.5 the first term left out is below float64's epsilon.
TAYLOR = tuple(
    (n, B / math.factorial(2 * n))
    for n, B in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6), start=1)
)


def single(x: Tensor) -> Tensor:
    """Return x in float32 where it is of half precision: sums over an event want no less."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Normal(Independent):  # type: ignore[type-arg]
    r"""Π_d N(x_d; m_d, σ_d²): −log p(x) = Σ_d (x_d − m_d)²/(2σ_d²) + log σ_d + ½ log 2π.

    Args:
        loc: m (*batch, *event).
        log_sigma: log σ, of the shape of m, or () where all elements share it.
        event_dims: how many of the last dimensions are one event.

    >>> Normal(torch.zeros(2, 3), torch.tensor(0.0), 1).log_prob(torch.zeros(3))
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


class Laplace(Independent):  # type: ignore[type-arg]
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


class Bernoulli(Independent):  # type: ignore[type-arg]
    r"""Π_d Bernoulli(x_d; sigmoid(l_d)): log p(x) = Σ_d x_d l_d − log(1 + e^{l_d}).

    Args:
        logits: l (*batch, *event).
        event_dims: how many of the last dimensions are one event.
    """

    def __init__(self, logits: Tensor, event_dims: int) -> None:
        base = td.Bernoulli(logits=logits, validate_args=False)
        super().__init__(base, event_dims, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        # No matrix product: autocast would run it, and its result, in half precision.
        dims = len(self.event_shape)
        logits = self.base_dist.logits.flatten(-dims)
        log_p: Tensor = (value.flatten(-dims) * logits).sum(-1) - SumSoftplus.apply(logits)
        return log_p


@cache
def _group(D: int) -> int:
    """The largest divisor of D for which a product of as many factors ≤ 2 is finite in float32."""
    return max(d for d in range(1, 127) if D % d == 0)


class SumSoftplus(torch.autograd.Function):
    r"""Σ_d log(1 + e^{l_d}) over the last dimension, as Σ_d max(l_d, 0) + log Π_d (1 + e^{−|l_d|}).

    A logarithm costs as much as ten of the other operations, so it is taken of products.
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


class ContinuousBernoulli(Distribution):
    r"""p(x) = Π_d e^{l_d x_d} / A(l_d) on [0, 1], with A(l) = ∫₀¹ e^{lx} dx = (e^l − 1)/l.

    Args:
        logits: l (*batch, *event).
        event_dims: how many of the last dimensions are one event.

    References:
        | The continuous Bernoulli (Loaiza-Ganem and Cunningham, 2019)

    >>> ContinuousBernoulli(torch.zeros(1, 2), 1).mean
    tensor([[0.5000, 0.5000]])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    def __init__(self, logits: Tensor, event_dims: int) -> None:
        self.logits = logits
        shape = logits.shape
        super().__init__(shape[:-event_dims], shape[-event_dims:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return tilted_mean(self.logits)

    def log_prob(self, value: Tensor) -> Tensor:
        elements: Tensor = value * self.logits - LogPartition.apply(self.logits)
        return elements.flatten(-len(self.event_shape)).sum(-1)

    @torch.no_grad()
    def sample(self, sample_shape: Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        l = self.logits.expand(*sample_shape, *self.logits.shape)
        # Invert the distribution function for −|l|, which cannot overflow, and mirror where l > 0.
        a = l.abs().clamp(min=torch.finfo(l.dtype).tiny)
        y = (-(torch.rand_like(l) * torch.expm1(-a)).log1p() / a).clamp(0, 1)
        return torch.where(l > 0, 1 - y, y)


class LogPartition(torch.autograd.Function):
    """log ∫₀¹ e^{lx} dx of every element; its derivative is the mean of the density ∝ e^{lx}."""

    generate_vmap_rule = True

    @staticmethod
    def forward(l: Tensor) -> Tensor:
        small, a = l.abs() < SMALL, l.abs().clamp(min=SMALL)
        series = l / 2 + l.square() * _polynomial(l.square(), [b / (2 * n) for n, b in TAYLOR])
        return torch.where(small, series, l.clamp(min=0) + (-torch.expm1(-a) / a).log())

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (l,) = ctx.saved_tensors
        return g * tilted_mean(l)


def tilted_mean(l: Tensor) -> Tensor:
    r"""∫₀¹ x e^{lx} dx / ∫₀¹ e^{lx} dx = 1/(1 − e^{−l}) − 1/l, elementwise; at l = 0, ½.

    Both branches are finite at every l, so that the gradient is never NaN.
    """
    # The Taylor branch takes over where 1/l would cancel; each branch sees only what it can bear.
    small = l.abs() < SMALL
    near = torch.where(small, l, 0.0)
    far = torch.where(small, 1.0, l.abs())
    series = 0.5 + near * _polynomial(near.square(), [b for _, b in TAYLOR])
    minor = 1 / far - (-far).exp() / -torch.expm1(-far)  # the mean for −|l|, without overflow
    return torch.where(small, series, torch.where(l < 0, minor, 1 - minor))


def _polynomial(t: Tensor, coefficients: list[float]) -> Tensor:
    """c₀ + c₁t + c₂t² + …, by Horner's rule."""
    value = torch.full_like(t, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        value = value * t + c
    return value


class Categorical(Distribution):
    r"""Π_d Categorical(x_d; softmax(l_d)) over the L levels k/(L − 1) of [0, 1].

    Args:
        logits: l (*batch, L, *event).
        event_dims: how many of the last dimensions are one event.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    def __init__(self, logits: Tensor, event_dims: int) -> None:
        self.logits, self.axis = logits, -event_dims - 1
        self.top = logits.shape[self.axis] - 1  # the highest level
        shape = logits.shape
        super().__init__(shape[: self.axis], shape[-event_dims:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        levels = levels_of(self.logits, self.top + 1).view(-1, *[1] * len(self.event_shape))
        return (self.logits.softmax(self.axis) * levels).sum(self.axis)

    def log_prob(self, value: Tensor) -> Tensor:
        """The log probability of the levels nearest to `value` in [0, 1]."""
        k = (value * self.top).round().long().unsqueeze(self.axis)
        k = k + torch.zeros_like(self.logits.narrow(self.axis, 0, 1), dtype=torch.long)
        logits = self.logits.expand(*k.shape[: self.axis], *self.logits.shape[self.axis :])
        elements: Tensor = LogSoftmaxAt.apply(logits, k, self.axis)
        return elements.flatten(self.axis + 1).sum(-1)

    @torch.no_grad()
    def sample(self, sample_shape: Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        logits = self.logits.expand(*sample_shape, *self.logits.shape)
        gumbel = -torch.empty_like(logits).exponential_().log()
        return (logits + gumbel).argmax(self.axis).to(logits.dtype) / self.top


def levels_of(like: Tensor, levels: int) -> Tensor:
    """The levels 0, 1/(L − 1), …, 1: (L,)."""
    return torch.arange(levels, dtype=like.dtype, device=like.device) / (levels - 1)


class LogSoftmaxAt(torch.autograd.Function):
    """log softmax(l)[k] on an axis; of the logits' size, it holds only them and their gradient."""

    @staticmethod
    def forward(ctx: Any, l: Tensor, k: Tensor, axis: int) -> Tensor:
        normaliser = l.logsumexp(axis, keepdim=True)
        ctx.axis = axis
        ctx.save_for_backward(l, k, normaliser)
        return (l.gather(axis, k) - normaliser).squeeze(axis)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        l, k, normaliser = ctx.saved_tensors
        g = g.unsqueeze(ctx.axis)
        softmax = (l - normaliser).exp_()
        return softmax.mul_(-g).scatter_add_(ctx.axis, k, g), None, None
