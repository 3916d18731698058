"""Penalties on the aggregated posterior q(z) = E_x q(z|x), from samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ae_lightning.parts import Recorded, UsageError
from ae_lightning.regularizers.base import Regularizer, noise_of, whole
from ae_lightning.regularizers.schedules import Schedule
from ae_lightning.types import ForwardPass

if TYPE_CHECKING:
    from ae_lightning.autoencoder import AutoEncoder


class Kernel(Recorded, ABC):
    """A similarity k(x, y) of codes, as a function of t = ‖x − y‖²/(2 K s²).

    Between draws of the standard normal prior, E t = 1 at s = 1.

    Args:
        scale: s, in standard deviations of the prior.
    """

    def __init__(self, scale: float = 1.0) -> None:
        if not scale > 0:
            raise UsageError(f"scale is {scale}: expected a number above 0.")
        self.scale = scale

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """k of every pair: (*, N, K), (*, M, K) -> (*, N, M)."""
        square = x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :]
        distance = (square - 2 * x @ y.mT).clamp(min=0)
        return self.of(distance / (2 * x.shape[-1] * self.scale**2))

    @abstractmethod
    def of(self, t: Tensor) -> Tensor:
        """k as a function of the scaled squared distance."""


class InverseMultiquadratic(Kernel):
    """k = 1/(1 + t), whose heavy tails pull on outliers too.

    >>> InverseMultiquadratic()(torch.tensor([[0.0]]), torch.tensor([[0.0], [2.0]]))
    tensor([[1.0000, 0.3333]])
    """

    def of(self, t: Tensor) -> Tensor:
        return 1 / (1 + t)


class GaussianKernel(Kernel):
    """k = exp(−t).

    >>> GaussianKernel()(torch.tensor([[0.0]]), torch.tensor([[0.0], [2.0]]))
    tensor([[1.0000, 0.1353]])
    """

    def of(self, t: Tensor) -> Tensor:
        return (-t).exp()


class MMD(Regularizer):
    r"""Penalise the maximum mean discrepancy between the codes and draws of the prior.

    MMD² = E k(z, z') + E k(y, y') − 2 E k(z, y), z from q(z) and y from p(z), by the unbiased
    estimator, which may be negative. With a Dirac posterior it makes the Wasserstein
    autoencoder, beside a Rate the InfoVAE.

    Args:
        weight: w in w·Ω.
        kernel: k; the inverse multiquadratic, if None.

    References:
        | A Kernel Two-Sample Test (Gretton et al., 2012)
        | Wasserstein Auto-Encoders (Tolstikhin et al., 2018)
        | InfoVAE: Information Maximizing Variational Autoencoders (Zhao et al., 2017)

    >>> from ae_lightning.systems import UndercompleteAutoEncoder
    >>> UndercompleteAutoEncoder((1, 8, 8), regularizers={"mmd": MMD(10.0)}).weights()
    {'mmd': 10.0}
    """

    holds_scale = True
    sees_outputs_only = True

    def __init__(self, weight: float | Schedule = 1.0, kernel: Kernel | None = None) -> None:
        super().__init__(weight)
        self.kernel = InverseMultiquadratic() if kernel is None else kernel

    def forward(self, model: AutoEncoder, out: ForwardPass) -> Tensor:
        k, z = self.kernel, whole(out.z.transpose(0, 1), model).transpose(0, 1)  # (R, B, K)
        with noise_of(model), torch.no_grad():
            y = model.prior().sample(z.shape[1:2])  # (B, K)
        return (within(k(z, z)) + within(k(y, y)) - 2 * k(z, y).mean((-2, -1))).mean()


def within(k: Tensor) -> Tensor:
    """The mean of k over pairs of different draws: (*, N, N) -> (*)."""
    N = k.shape[-1]
    same = k.diagonal(dim1=-2, dim2=-1).sum(-1)
    return (k.sum((-2, -1)) - same) / max(1, N * (N - 1))
