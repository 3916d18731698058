"""The categorical distribution over L levels per element, such as the 256 of a byte."""

from typing import Any, ClassVar

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints


class IndependentCategorical(Distribution):
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
    """log softmax(l)[k] along an axis; it keeps no tensors of the logits' size but the logits."""

    generate_vmap_rule = True

    @staticmethod
    def forward(l: Tensor, k: Tensor, axis: int) -> Tensor:
        return (l.gather(axis, k) - l.logsumexp(axis, keepdim=True)).squeeze(axis)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        l, k, ctx.axis = inputs
        ctx.save_for_backward(l, k)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        l, k = ctx.saved_tensors
        g = g.unsqueeze(ctx.axis)
        if torch.is_grad_enabled():  # for a second derivative
            return (l.softmax(ctx.axis) * -g).scatter_add(ctx.axis, k, g), None, None
        return l.softmax(ctx.axis).mul_(-g).scatter_add_(ctx.axis, k, g), None, None
