"""What flows through training: pairs of corrupted and clean inputs, and one forward pass."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution


class Pair(NamedTuple):
    """A batch of corrupted and clean inputs, as every DataModule yields it."""

    x_tilde: Tensor  # corrupted input (B, *S)
    x: Tensor  # clean target (B, *S)
    y: Tensor  # label (B,), for callbacks and probes only
    # The example's place in its set (B,), on which evaluation noise is keyed; −1 in a batch that
    # another process counts.
    index: Tensor  # type: ignore[assignment]

    def to(self, device: torch.device | str) -> Pair:
        """Move every tensor to a device."""
        return Pair(*(t.to(device) for t in self))


class ForwardPass(NamedTuple):
    """What every regularizer sees."""

    x: Tensor  # clean target (B, *S)
    x_tilde: Tensor  # corrupted input (B, *S)
    features: Tensor  # encoder output (B, F), before the posterior
    q: Distribution  # q(z|x̃): batch (B,), event (K,)
    z: Tensor  # R samples of q (R, B, K)
    p: Distribution  # p(x|z): batch (R, B), event S
