"""The continuous Bernoulli: an exponential density on [0, 1] of every element."""

import math
from typing import Any, ClassVar

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

SMALL = 0.5  # below it, functions of the logit are computed from their Taylor series
# The Bernoulli numbers B₂ₙ/(2n)!: at |l| < 0.5 the first term left out is below float64's epsilon.
TAYLOR = tuple(
    (n, B / math.factorial(2 * n))
    for n, B in enumerate((1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6), start=1)
)


class IndependentContinuousBernoulli(Distribution):
    r"""p(x) = Π_d e^{l_d x_d} / A(l_d) on [0, 1], with A(l) = ∫₀¹ e^{lx} dx = (e^l − 1)/l.

    Args:
        logits: l (*batch, *event).
        event_dims: how many of the last dimensions are one event.

    References:
        | The continuous Bernoulli (Loaiza-Ganem and Cunningham, 2019)

    >>> IndependentContinuousBernoulli(torch.zeros(1, 2), 1).mean
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
    # The Taylor branch takes over where 1/l would cancel; each branch sees only what it can handle.
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
