"""Autoencoders of one affine map each way, whose optimum, posterior and log p(x) have formulas.

The variational ones are probabilistic PCA: x = W z + μ + σ ε, with z and ε standard normal.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal

from ae_lightning.likelihoods import Gaussian, Laplace
from ae_lightning.model import Model
from ae_lightning.regularizers.divergences import Rate
from ae_lightning.systems import (
    ImportanceWeightedAutoEncoder,
    UndercompleteAutoEncoder,
    VariationalAutoEncoder,
)
from ae_lightning.theory.fitting import adam, mlps

LinearVAE = VariationalAutoEncoder | ImportanceWeightedAutoEncoder


def affine(network: nn.Module) -> nn.Linear:
    """Return the first affine map of a network."""
    layer = network.get_submodule("layers.0")
    assert isinstance(layer, nn.Linear)
    return layer


def absolute_error_autoencoder(
    shape: Sequence[int], K: int, **options: Any
) -> UndercompleteAutoEncoder:
    """Return a linear autoencoder under absolute error, which is not PCA."""
    return UndercompleteAutoEncoder(shape, K, likelihood=Laplace(), **mlps(), **options)


def linear_vae(D: int, K: int, likelihood: Gaussian, beta: float = 1.0) -> VariationalAutoEncoder:
    """Return an untrained linear VAE whose rate has weight β."""
    options = {"regularizers": {"rate": Rate(weight=beta)}, "value_range": None, **adam(0.1)}
    return VariationalAutoEncoder((D,), K, likelihood=likelihood, **mlps(), **options)


def orthogonal_columns(D: int, squares: list[float]) -> Tensor:
    """Return orthogonal columns (D, K) with these squared lengths, in random directions."""
    Q = torch.linalg.qr(torch.randn(D, len(squares), dtype=torch.float64)).Q
    return Q * torch.tensor(squares, dtype=torch.float64).sqrt()  # type: ignore[no-any-return]


@torch.no_grad()
def exact_linear_vae(W: Tensor, sigma: float, mean: Tensor) -> LinearVAE:
    r"""Return a linear VAE with a given decoder and its exact posterior.

    p(z|x) = N(M⁻¹Wᵀ(x − μ), σ² M⁻¹), with M = WᵀW + σ²I diagonal. Its objective is the
    importance-weighted bound.

    Args:
        W: the decoder's weight (D, K), with orthogonal columns.
        sigma: the decoder's σ.
        mean: the decoder's bias μ (D,).
    """
    D, K = W.shape
    options = {"samples": 1, "value_range": None, **mlps()}
    model = ImportanceWeightedAutoEncoder((D,), K, likelihood=Gaussian(sigma), **options)
    decoder, encoder = affine(model.double().decoder), affine(model.encoder)
    variance = noise_variance(model)
    M = W.square().sum(0) + variance  # (K,)
    decoder.weight.copy_(W)
    decoder.bias.copy_(mean)
    model.encoder.centre(mean, None)
    encoder.weight.copy_(torch.cat([W.T / M[:, None], torch.zeros_like(W.T)]))
    encoder.bias.copy_(torch.cat([torch.zeros_like(M), (variance / M).log() / 2]))
    model.requires_grad_(False)
    return model.eval()


def noise_variance(model: LinearVAE) -> Tensor:
    """Return the decoder's σ², in the model's precision."""
    z = torch.zeros(1, model.latent).to(affine(model.decoder).weight)
    return model.decode(z).variance.mean().detach()


def marginal(model: LinearVAE) -> MultivariateNormal:
    """Return p(x) = N(μ, WWᵀ + σ²I), whose logarithm a linear VAE's objective bounds."""
    layer = affine(model.double().decoder)
    return gaussian(layer.bias.detach(), layer.weight.detach(), noise_variance(model))


def gaussian(mean: Tensor, W: Tensor, variance: Tensor | float) -> MultivariateNormal:
    """Return N(μ, WWᵀ + σ²I) of the mean (D,), W (D, K) and σ²."""
    return MultivariateNormal(mean, W @ W.T + variance * torch.eye(len(W)).double())


def maximum_likelihood(eigenvalues: Tensor, K: int) -> tuple[float, float]:
    """Return the largest mean log-likelihood of probabilistic PCA, in nats, and its σ².

    Args:
        eigenvalues: those of the data's covariance (D,), largest first.
        K: the number of elements of the code.

    References:
        | Probabilistic Principal Component Analysis (Tipping and Bishop, 1999)
    """
    D, variance = len(eigenvalues), eigenvalues[K:].mean()
    log_det = eigenvalues[:K].log().sum() + (D - K) * variance.log()
    return -float(D * math.log(2 * math.pi) + log_det + D) / 2, float(variance)


def log_joint(model: Model, x: Tensor, z: Tensor) -> Tensor:
    """Return log p(x, z) = log p(x|z) + log p(z)."""
    return model.decode(z).log_prob(x) + model.prior().log_prob(z)  # type: ignore[no-any-return]


def log_weights(model: LinearVAE, x: Tensor, z: Tensor, q: Distribution) -> Tensor:
    """Return log p(x, z) − log q(z|x): its mean over q is the ELBO, and it is constant in z if q is
    the exact posterior."""
    return log_joint(model, x, z) - q.log_prob(z)  # type: ignore[no-any-return]
