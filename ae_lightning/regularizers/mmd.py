"""The maximum mean discrepancy between the codes and the prior, and its kernels."""

from abc import ABC, abstractmethod

from torch import Tensor
from torch.distributions import Distribution, MixtureSameFamily

from ae_lightning.core.errors import above
from ae_lightning.core.parts import Recorded
from ae_lightning.core.types import ForwardPass
from ae_lightning.model import Model
from ae_lightning.regularizers.base import Regularizer, noise_of, whole
from ae_lightning.schedules import Schedule


class Kernel(Recorded, ABC):
    """A similarity k(x, y) of codes, as a function of t = ‖x − y‖²/(2 K s²).

    Between draws of the standard normal prior, E t = 1 at s = 1.

    Args:
        scale: s, in standard deviations of the prior.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = above("scale", scale)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Return k of every pair: (*, N, K), (*, M, K) -> (*, N, M)."""
        centre = x.mean(-2, keepdim=True).detach()  # far from 0, the squares would swallow digits
        x, y = x - centre, y - centre
        square = x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :]
        distance = (square - 2 * x @ y.mT).clamp(min=0)
        return self.of(distance / (2 * x.shape[-1] * self.scale**2))

    @abstractmethod
    def of(self, t: Tensor) -> Tensor:
        """Return k as a function of the scaled squared distance."""


class InverseMultiquadratic(Kernel):
    """k = 1/(1 + t), whose heavy tails pull on outliers too.

    >>> import torch
    >>> InverseMultiquadratic()(torch.tensor([[0.0]]), torch.tensor([[0.0], [2.0]]))
    tensor([[1.0000, 0.3333]])
    """

    def of(self, t: Tensor) -> Tensor:
        return 1 / (1 + t)


class GaussianKernel(Kernel):
    """k = exp(−t).

    >>> import torch
    >>> GaussianKernel()(torch.tensor([[0.0]]), torch.tensor([[0.0], [2.0]]))
    tensor([[1.0000, 0.1353]])
    """

    def of(self, t: Tensor) -> Tensor:
        return (-t).exp()


class MMD(Regularizer):
    r"""Penalise the maximum mean discrepancy between the codes and draws of the prior.

    MMD² = E k(z, z') + E k(y, y') − 2 E k(z, y), with z from q(z) and y from p(z), by the
    unbiased estimator, which may be negative. With a Dirac posterior this gives the Wasserstein
    autoencoder, and beside a Rate the InfoVAE. Of a mixture, y is drawn from every component, so
    that a learned prior gets its gradient, weights included.

    Args:
        weight: w in w·Ω.
        kernel: k; the inverse multiquadratic if None.

    References:
        | A Kernel Two-Sample Test (Gretton et al., 2012)
        | Wasserstein Auto-Encoders (Tolstikhin et al., 2018)
        | InfoVAE: Information Maximizing Variational Autoencoders (Zhao et al., 2017)

    >>> from ae_lightning.systems import UndercompleteAutoEncoder
    >>> UndercompleteAutoEncoder((1, 8, 8), regularizers={"mmd": MMD(10.0)}).weights()
    {'mmd': 10.0}
    """

    holds_prior = True
    sees_outputs_only = True

    def __init__(self, weight: float | Schedule = 1.0, kernel: Kernel | None = None) -> None:
        super().__init__(weight)
        self.kernel = InverseMultiquadratic() if kernel is None else kernel

    def forward(self, model: Model, out: ForwardPass) -> Tensor:
        k, z = self.kernel, whole(out.z.transpose(0, 1), model).transpose(0, 1)  # (R, B, K)
        with noise_of(model):
            y, pi = draws_of(model.prior(), z.shape[1])  # (C, n, K), (C,)
        k_yy = k(y[:, None], y).mean((-2, -1)).diagonal_scatter(within(k(y, y)))  # (C, C)
        k_zy = k(z[:, None], y).mean((-2, -1)) @ pi  # (R,)
        return (within(k(z, z)) + pi @ k_yy @ pi - 2 * k_zy).mean()


def draws_of(p: Distribution, n: int) -> tuple[Tensor, Tensor]:
    """Draw n codes y of each component of p (C, n, K), and return the components' weights (C,)."""
    if isinstance(p, MixtureSameFamily):
        pi = p.mixture_distribution.probs
        y = p.component_distribution.rsample((max(2, n // len(pi)),))  # (n, C, K)
        return y.transpose(0, 1), pi
    y = (p.rsample if p.has_rsample else p.sample)((n,))
    return y[None], y.new_ones(1)


def within(k: Tensor) -> Tensor:
    """Average k over pairs of different draws: (*, N, N) -> (*)."""
    N = k.shape[-1]
    same = k.diagonal(dim1=-2, dim2=-1).sum(-1)
    return (k.sum((-2, -1)) - same) / max(1, N * (N - 1))
