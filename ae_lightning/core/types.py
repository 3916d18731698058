"""What flows through training: pairs of corrupted and clean inputs, and one forward pass."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from ae_lightning.core.showing import shown


@shown
class Pair(NamedTuple):
    """A batch of corrupted and clean inputs, as every DataModule yields it.

    Args:
        x_tilde: the corrupted input x̃ (B, *S).
        x: the clean target x (B, *S).
        y: the labels (B,), for callbacks and probes only.
        places: where each example stands in its split (B,), on which evaluation noise is keyed;
            −1 in a batch that another process counts.
    """

    x_tilde: Tensor
    x: Tensor
    y: Tensor
    places: Tensor

    def to(self, device: torch.device | str) -> "Pair":
        """Move every tensor to a device."""
        return Pair(*(t.to(device) for t in self))


@shown
class ForwardPass(NamedTuple):
    """What every regularizer sees of a batch.

    Args:
        x: the clean target (B, *S).
        x_tilde: the corrupted input x̃ (B, *S).
        features: the encoder's output at x̃ (B, F), before the posterior.
        q: the posterior q(z|x̃): batch (B,), event (K,).
        z: R samples of q (R, B, K).
        p: the likelihood p(x|z): batch (R, B), event S.
    """

    x: Tensor
    x_tilde: Tensor
    features: Tensor
    q: Distribution
    z: Tensor
    p: Distribution
