"""KL divergence and total correlation: penalties on q(z|x) and on q(z) = E_x q(z|x)."""

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from ae_lightning.core.distributed import rank_and_world
from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import ForwardPass
from ae_lightning.distributions import kl
from ae_lightning.model import Model
from ae_lightning.regularizers.base import Regularizer, value_at, whole
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


class SampledTotalCorrelation(Regularizer, ABC):
    r"""Penalise KL(q(z) ‖ Π_k q(z_k)), with q(z_i) ≈ Σ_j w_ij q(z_i|x_j) over a batch of M.

    Args:
        weight: w in w·Ω.
        dataset_size: N, the number of examples that the batch is drawn from.

    Raises:
        UsageError: if the posterior is deterministic, or not a product over dimensions.
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
        B, M = log_q.shape[1:3]
        rank, world = rank_and_world() if M > B else (0, 1)
        own = torch.arange(rank, M, world, device=log_q.device)  # this rank's among all (`gather`)
        N = self.dataset_size or model.dataset_size or M
        log_w = self.shares(own, M, max(N, M)).log().to(log_q)  # (B, M)
        log_joint, log_product = aggregate(log_q, log_w)
        return (log_joint - log_product).mean(0)

    @abstractmethod
    def shares(self, own: Tensor, M: int, N: int) -> Tensor:
        """The weight w_ij of each example j of the batch for z_i, drawn from example own[i]."""


class TotalCorrelation(SampledTotalCorrelation):
    r"""Penalise the dependence between the code's dimensions, KL(q(z) ‖ Π_k q(z_k)), in nats.

    By minibatch stratified sampling, q(z_i) ≈ Σ_j w_ij q(z_i|x_j) over M of N examples: the one
    that z_i was drawn from stands for itself, w_ii = 1/N, and the others for all others,
    w_ij = (1 − 1/N)/(M − 1); the paper gives one of them another weight, of which this is the mean.
    Rate(1) and TotalCorrelation(β − 1) together are the β-TCVAE.

    These weights are unbiased for q(z), and not for its logarithm. For independent Gaussian codes,
    where the truth is 0, M = 128 and N = 60,000 give −0.8 nats at K = 2 and σ = 0.1 (a standard
    deviation of 0.2 over batches), −0.1 at σ = 0.3; and at K = 10 13.0, 1.8 and −0.3 at σ = 0.1,
    0.3 and 1 (0.4, 0.3 and 0.1). Take differences between models as what they are, at equal M, N
    and σ, and the number itself only where posteriors overlap. The bias at small σ rewards a wider
    posterior.

    Args:
        weight: w in w·Ω.
        dataset_size: N; if None, that of the training set, or M if it is not known.

    Raises:
        UsageError: if the posterior is deterministic, or not a product over dimensions.

    References:
        | Isolating Sources of Disentanglement in Variational Autoencoders (Chen et al., 2018)

    >>> from ae_lightning.systems import VariationalAutoEncoder
    >>> VariationalAutoEncoder((1, 8, 8), regularizers={"tc": TotalCorrelation(5.0)}).weights()
    {'rate': 1.0, 'tc': 5.0}
    """

    def shares(self, own: Tensor, M: int, N: int) -> Tensor:
        if M == 1:
            return torch.ones(1, 1)
        others = (1 - 1 / N) / (M - 1)
        w = torch.full((len(own), M), others, dtype=torch.float64, device=own.device)
        w[torch.arange(len(own), device=own.device), own] = 1 / N
        return w


class WeightedTotalCorrelation(SampledTotalCorrelation):
    r"""`TotalCorrelation` by minibatch-weighted sampling: q(z_i) ≈ 1/(NM) Σ_j q(z_i|x_j).

    Simpler, and further off: where stratified sampling gives 13.0, 1.8 and −0.3 nats (see there),
    N = 1 gives 17.6, 7.5 and 0.4. N adds the constant (K − 1) log N, and leaves the gradient as it
    is.

    Args:
        weight: w in w·Ω.
        dataset_size: N; 1 if None, so that the batch stands for the data.

    References:
        | Isolating Sources of Disentanglement in Variational Autoencoders (Chen et al., 2018)
    """

    def shares(self, own: Tensor, M: int, N: int) -> Tensor:
        share = 1 / (M * (self.dataset_size or 1))
        return torch.full((len(own), M), share, dtype=torch.float64, device=own.device)


def aggregate(log_q: Tensor, log_w: Tensor) -> tuple[Tensor, Tensor]:
    """Return log q(z_i) and Σ_k log q(z_ik), with q(z) = Σ_j w_ij q(z|x_j): (R, B) each.

    Args:
        log_q: log q(z_ik|x_j) (R, B, M, K).
        log_w: log w_ij (B, M).
    """
    log_joint = (log_q.sum(3) + log_w).logsumexp(2)
    log_product = (log_q + log_w[..., None]).logsumexp(2).sum(2)
    return log_joint, log_product


def factors(q: Distribution, user: str) -> Distribution:
    """Return the factors of a product over dimensions: batch (*batch, K), event ()."""
    if not isinstance(q, Independent):
        name = type(q).__name__
        raise UsageError(f"{user} needs a product over the code's dimensions, not {name}.")
    return q.base_dist  # type: ignore[no-any-return]
