"""Probabilistic PCA: x = W z + μ + σ ε, the one autoencoder whose evidence has a formula."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, MultivariateNormal

from ae_lightning.likelihoods import Gaussian
from ae_lightning.nn import MLP
from ae_lightning.systems import ImportanceWeightedAutoEncoder, VariationalAutoEncoder

LinearVAE = VariationalAutoEncoder | ImportanceWeightedAutoEncoder


def affine(network: nn.Module) -> nn.Linear:
    """The first affine map of a network."""
    layer = network.get_submodule("layers.0")
    assert isinstance(layer, nn.Linear)
    return layer


def columns(D: int, squares: list[float]) -> Tensor:
    """Orthogonal columns (D, K) with these squared lengths, in random directions."""
    Q = torch.linalg.qr(torch.randn(D, len(squares), dtype=torch.float64)).Q
    return Q * torch.tensor(squares, dtype=torch.float64).sqrt()  # type: ignore[no-any-return]


@torch.no_grad()
def exact(model: LinearVAE, W: Tensor, mean: Tensor) -> LinearVAE:
    r"""Give a linear VAE the decoder W (D, K) with orthogonal columns, and its exact posterior.

    p(z|x) = N(M⁻¹Wᵀ(x − μ), σ² M⁻¹), with M = WᵀW + σ²I diagonal.
    """
    decoder, encoder = affine(model.double().decoder), affine(model.encoder)
    variance = noise(model)
    M = W.square().sum(0) + variance  # (K,)
    decoder.weight.copy_(W)
    decoder.bias.copy_(mean)
    model.encoder.centre(mean, None)
    encoder.weight.copy_(torch.cat([W.T / M[:, None], torch.zeros_like(W.T)]))
    encoder.bias.copy_(torch.cat([torch.zeros_like(M), (variance / M).log() / 2]))
    model.requires_grad_(False)
    return model.eval()


def noise(model: LinearVAE) -> Tensor:
    """σ² of the decoder's Gaussian, in the model's precision."""
    z = torch.zeros(1, model.latent).to(affine(model.decoder).weight)
    return model.decode(z).variance.mean().detach()


def linear_vae(W: Tensor, sigma: float, mean: Tensor, samples: int = 1) -> LinearVAE:
    """The importance-weighted linear autoencoder of R samples, with its exact posterior."""
    model = ImportanceWeightedAutoEncoder(
        shape=(W.shape[0],),
        latent=W.shape[1],
        encoder=MLP(widths=()),
        decoder=MLP(widths=()),
        likelihood=Gaussian(sigma),
        samples=samples,
        value_range=None,
    )
    return exact(model, W, mean)


def evidence(model: LinearVAE) -> MultivariateNormal:
    """p(x) = N(μ, WWᵀ + σ²I), of which a linear VAE's objective bounds the logarithm."""
    layer = affine(model.double().decoder)
    W = layer.weight.detach()
    covariance = W @ W.T + noise(model) * torch.eye(len(W)).double()
    return MultivariateNormal(layer.bias.detach(), covariance)


def ml_evidence(eigenvalues: Tensor, K: int) -> tuple[float, float]:
    """The largest mean log-likelihood that probabilistic PCA reaches, in nats, and its σ².

    References:
        | Probabilistic Principal Component Analysis (Tipping and Bishop, 1999)
    """
    D, variance = len(eigenvalues), eigenvalues[K:].mean()
    log_det = eigenvalues[:K].log().sum() + (D - K) * variance.log()
    return -float(D * math.log(2 * math.pi) + log_det + D) / 2, float(variance)


def log_weights(model: LinearVAE, x: Tensor, z: Tensor, q: Distribution) -> Tensor:
    """log p(x, z) − log q(z|x), whose mean over q is the ELBO, and constant at the posterior."""
    return model.decode(z).log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)  # type: ignore[no-any-return]
