"""Penalties on the posterior q(z|x)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor
from torch.distributions import kl_divergence

from ae_lightning.parts import UsageError
from ae_lightning.regularizers.base import Regularizer
from ae_lightning.types import ForwardPass

if TYPE_CHECKING:
    from ae_lightning.autoencoder import AutoEncoder


class Rate(Regularizer):
    r"""KL(q(z|x) ‖ p(z)), in nats: weight 1 gives the evidence lower bound, weight β the β-VAE."""

    def check(self, model: AutoEncoder) -> None:
        if not model.posterior.stochastic:
            name = type(model.posterior).__name__
            raise UsageError(
                f"Rate needs a stochastic posterior such as DiagonalGaussian, not {name}."
            )

    def forward(self, model: AutoEncoder, out: ForwardPass) -> Tensor:
        return kl_divergence(out.q, model.prior())
