"""KL divergence, total correlation and MMD: penalties on q(z|x) and on q(z) = E_x q(z|x)."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from ae_lightning.core.errors import UsageError, above
from ae_lightning.core.parts import Recorded
from ae_lightning.core.types import ForwardPass
from ae_lightning.distributions import kl
from ae_lightning.model import Model
from ae_lightning.regularizers.base import Regularizer, noise_of, value_at, whole
from ae_lightning.schedules import Schedule


def need_stochastic(penalty: Regularizer, model: Model) -> None:
    """Raise UsageError if the posterior is a point mass."""
    if not model.posterior.stochastic:
        name, own = type(penalty).__name__, type(model.posterior).__name__
        raise UsageError(
            f"{name} needs a stochastic posterior such as DiagonalGaussian, not {own}."
        )


class Rate(Regularizer):
    r"""Penalise KL(q(z|x) ‖ p(z)), in nats: weight 1 gives the ELBO, weight β the β-VAE.

    In closed form if there is one, otherwise E_q[log q(z|x) − log p(z)] over the samples.

    Args:
        weight: w in w·Ω.
        free_bits: λ in Σ_k max(λ, E_x KL_k), the nats per dimension that cost nothing, with E_x
            the mean over the batch.
        capacity: C in |R − C|, the nats to which the mean rate R is held; R itself, if None.

    Raises:
        UsageError: if the posterior is deterministic or, with free_bits, q or p is not a product.

    References:
        | Auto-Encoding Variational Bayes (Kingma and Welling, 2014)
        | beta-VAE (Higgins et al., 2017)
        | Improving Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
        | Understanding disentangling in β-VAE (Burgess et al., 2018)

    >>> from ae_lightning.systems import VariationalAutoEncoder
    >>> penalties = {"rate": Rate(4.0, free_bits=0.1)}
    >>> VariationalAutoEncoder((1, 8, 8), regularizers=penalties).weights()
    {'rate': 4.0}
    """

    holds_scale = True
    holds_prior = True
    sees_outputs_only = True

    def __init__(
        self,
        weight: float | Schedule = 1.0,
        free_bits: float = 0.0,
        capacity: float | Schedule | None = None,
    ) -> None:
        super().__init__(weight)
        if not 0 <= free_bits < math.inf:
            raise UsageError(f"free_bits is {free_bits}: expected nats per dimension, 0 or more.")
        if isinstance(capacity, int | float) and not 0 <= capacity < math.inf:
            raise UsageError(f"capacity is {capacity}: expected nats, 0 or more.")
        self.free_bits, self.capacity = free_bits, capacity

    def check(self, model: Model) -> None:
        need_stochastic(self, model)
        if self.free_bits > 0:
            with torch.no_grad():
                factors(model.prior(), "free_bits")

    def forward(self, model: Model, out: ForwardPass) -> Tensor:
        q, p = out.q, model.prior()
        if self.free_bits > 0:
            rates = kl(factors(q, "free_bits"), factors(p, "free_bits"), out.z)  # (B, K)
            rate = whole(rates, model).mean(0).clamp(min=self.free_bits).sum()
        elif self.capacity is not None:
            rate = whole(kl(q, p, out.z), model).mean(0)
        else:
            return kl(q, p, out.z)
        if self.capacity is None:
            return rate
        return (rate - value_at(self.capacity, model.clock)).abs()


class TotalCorrelation(Regularizer):
    r"""Penalise the dependence between the code's dimensions, KL(q(z) ‖ Π_k q(z_k)), in nats.

    By minibatch-weighted sampling: log q(z) ≈ log 1/(NM) Σ_j q(z|x_j), over M of N examples.
    Rate(1) and TotalCorrelation(β − 1) together are the β-TCVAE.

    Args:
        weight: w in w·Ω.
        dataset_size: N; if None, the batch stands for the data (N = 1). It adds the constant
            (K − 1) log N, and does not change the gradient.

    Raises:
        UsageError: if the posterior is deterministic, or not a product over dimensions.

    References:
        | Isolating Sources of Disentanglement in Variational Autoencoders (Chen et al., 2018)

    >>> from ae_lightning.systems import VariationalAutoEncoder
    >>> VariationalAutoEncoder((1, 8, 8), regularizers={"tc": TotalCorrelation(5.0)}).weights()
    {'rate': 1.0, 'tc': 5.0}
    """

    sees_outputs_only = True

    def __init__(self, weight: float | Schedule = 1.0, dataset_size: int | None = None) -> None:
        super().__init__(weight)
        if dataset_size is not None and dataset_size < 1:
            raise UsageError(f"dataset_size is {dataset_size}: expected 1 or more, or None.")
        self.dataset_size = dataset_size

    def check(self, model: Model) -> None:
        need_stochastic(self, model)

    def forward(self, model: Model, out: ForwardPass) -> Tensor:
        features = whole(out.features, model)
        q = out.q if features is out.features else model.posterior(features)
        log_q = factors(q, "TotalCorrelation").log_prob(out.z[:, :, None])  # (R, B, M, K)
        M, K = log_q.shape[2:]
        log_joint = log_q.sum(3).logsumexp(2)
        log_product = log_q.logsumexp(2).sum(2)
        constant = (K - 1) * math.log(M * (self.dataset_size or 1))
        return (log_joint - log_product).mean(0) + constant


def factors(q: Distribution, user: str) -> Distribution:
    """Return the factors of a product over dimensions: batch (*batch, K), event ()."""
    if not isinstance(q, Independent):
        name = type(q).__name__
        raise UsageError(f"{user} needs a product over the code's dimensions, not {name}.")
    return q.base_dist  # type: ignore[no-any-return]


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
        square = x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :]
        distance = (square - 2 * x @ y.mT).clamp(min=0)
        return self.of(distance / (2 * x.shape[-1] * self.scale**2))

    @abstractmethod
    def of(self, t: Tensor) -> Tensor:
        """Return k as a function of the scaled squared distance."""


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

    MMD² = E k(z, z') + E k(y, y') − 2 E k(z, y), with z from q(z) and y from p(z), by the
    unbiased estimator, which may be negative. With a Dirac posterior this gives the Wasserstein
    autoencoder, and beside a Rate the InfoVAE.

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

    holds_scale = True
    sees_outputs_only = True

    def __init__(self, weight: float | Schedule = 1.0, kernel: Kernel | None = None) -> None:
        super().__init__(weight)
        self.kernel = InverseMultiquadratic() if kernel is None else kernel

    def forward(self, model: Model, out: ForwardPass) -> Tensor:
        k, z = self.kernel, whole(out.z.transpose(0, 1), model).transpose(0, 1)  # (R, B, K)
        with noise_of(model), torch.no_grad():
            y = model.prior().sample(z.shape[1:2])  # (B, K)
        return (within(k(z, z)) + within(k(y, y)) - 2 * k(z, y).mean((-2, -1))).mean()


def within(k: Tensor) -> Tensor:
    """Average k over pairs of different draws: (*, N, N) -> (*)."""
    N = k.shape[-1]
    same = k.diagonal(dim1=-2, dim2=-1).sum(-1)
    return (k.sum((-2, -1)) - same) / max(1, N * (N - 1))
