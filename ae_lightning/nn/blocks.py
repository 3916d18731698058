"""What residual networks are made of: blocks, attention and resampling, each a unit."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ae_lightning.nn.network import activation_of
from ae_lightning.training.uncompiled import differentiated_by_functions

GROUP = 8  # channels that are normalised together


def norm(channels: int) -> nn.GroupNorm:
    """Normalise each example by groups of 8 channels, or all together if they do not divide."""
    return nn.GroupNorm(1 if channels % GROUP else channels // GROUP, channels)


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """Let a convolution start as zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class Unit(nn.Sequential):
    """Layers that are recomputed together, and gathered together if a model is sharded."""

    whole = True  # see `training.sharding`


class Block(Unit):
    """h + n(h), where n is twice a norm, an activation and a convolution; n starts as zero."""

    def __init__(self, channels: int, activation: str) -> None:
        first = norm(channels), activation_of(activation), nn.Conv2d(channels, channels, 3, 1, 1)
        second = norm(channels), activation_of(activation), nn.Conv2d(channels, channels, 3, 1, 1)
        zeroed(second[-1])
        super().__init__(*first, *second)

    def forward(self, h: Tensor) -> Tensor:
        return h + super().forward(h)  # type: ignore[no-any-return, no-untyped-call]


class Attention(Unit):
    """h + A(h): every place attends to every other by one head; A starts as zero.

    References:
        | Attention Is All You Need (Vaswani et al., 2017)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.queries_keys_values = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, h: Tensor) -> Tensor:
        q, k, v = self.queries_keys_values(self.norm(h)).flatten(2).chunk(3, dim=1)  # (B, C, N)
        # Written out, since a fused kernel cannot be differentiated twice.
        weights = (q.mT @ k / q.shape[1] ** 0.5).softmax(-1)  # (B, N, N)
        return h + self.out((v @ weights.mT).unflatten(2, h.shape[2:]))  # type: ignore[no-any-return]


class Up(Unit):
    """Double the sides by repeating every value, then convolve.

    Every pixel then sees as many weights as any other: transposed convolutions leave checkerboards.

    References:
        | Deconvolution and Checkerboard Artifacts (Odena et al., 2016)
    """

    def __init__(self, channels: int, outputs: int) -> None:
        super().__init__(nn.Upsample(scale_factor=2), nn.Conv2d(channels, outputs, 3, 1, 1))


class Place(nn.Module):
    """Put vectors (B, N) in place, as images of this shape."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, h: Tensor) -> Tensor:
        return pixelwise(h.unflatten(1, self.shape))


def pixelwise(h: Tensor) -> Tensor:
    """Store images (B, C, H, W) pixel by pixel where that is known to be faster: on a CPU."""
    if h.device.type != "cpu" or differentiated_by_functions():  # which has no such order
        return h
    return h.contiguous(memory_format=torch.channels_last)


def through(layers: Iterable[nn.Module], h: Tensor, recompute: bool) -> Tensor:
    """Send h through layers; if wanted, keep no hidden values of units for the backward pass.

    They are kept all the same where torch.func takes derivatives, which cannot recompute.
    """
    recompute = recompute and torch.is_grad_enabled() and not differentiated_by_functions()
    for layer in layers:
        if recompute and isinstance(layer, Unit):
            h = checkpoint(layer, h, use_reentrant=False, preserve_rng_state=False)
        else:
            h = layer(h)
    return h
