"""The directions in which data vary: learned ones, those of neighbours, and angles between."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ae_lightning.geometry import decoder_tangents, jacobian, tangents
from ae_lightning.model import Model

CHUNK = 32  # rows or columns of one example's Jacobian in memory at once
RANK = 1e-3  # of the longest: a shorter true tangent does not count, such as a disc's rotation

Tangents = Callable[[Model, Tensor, int], tuple[Tensor, Tensor]]


def of_encoder(model: Model, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k leading right singular vectors (B, k, *S) of ∂f/∂x, and all singular values (B, n).

    These are what the code is sensitive to.
    """
    return _one_by_one(lambda one: tangents(model.code, one, k, CHUNK), x)


def of_decoder(model: Model, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k leading left singular vectors (B, k, *S) of ∂g/∂z at f(x), and all singular values.

    These span the learned manifold's tangent space.
    """

    def g(z: Tensor) -> Tensor:
        return model.decode(z).mean

    return _one_by_one(lambda one: decoder_tangents(g, model.code(one), k, CHUNK), x)


def of_reconstruction(model: Model, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    r"""The k leading left singular vectors (B, k, *S) of ∂r/∂x, and all singular values (B, n).

    Of the optimal denoiser under Gaussian noise, ∂r/∂x = Cov[x|x̃]/σ²: they are the directions in
    which the data lie. Unlike those of the encoder, they depend on no choice of the code's axes.

    References:
        | What Regularized Auto-Encoders Learn from the Data-Generating Distribution (Alain and
          Bengio, 2014)
    """

    def product(one: Tensor) -> tuple[Tensor, Tensor]:
        if model.latent >= one[0].numel():
            J = jacobian(model.reconstruct, one, CHUNK).view(1, one.numel(), one.numel())
            U, values, _ = torch.linalg.svd(J)
        else:
            J_f = jacobian(model.code, one, CHUNK).flatten(2)  # (1, K, D)
            J_g = jacobian(lambda z: model.decode(z).mean, model.code(one), CHUNK).flatten(1, -2)
            Q, R = torch.linalg.qr(J_g)  # (1, D, K), (1, K, K)
            U, values, _ = torch.linalg.svd(R @ J_f, full_matrices=False)
            U = Q @ U
        return U.mT[:, :k].unflatten(2, one.shape[1:]), values

    return _one_by_one(product, x)


def _one_by_one(f: Callable[[Tensor], tuple[Tensor, Tensor]], x: Tensor) -> tuple[Tensor, Tensor]:
    """Stack f of every example; only one Jacobian is in memory at a time."""
    vectors, values = zip(*map(f, x.split(1)), strict=True)
    return upright(torch.cat(vectors)), torch.cat(values)


def upright(vectors: Tensor) -> Tensor:
    """Make the largest element of every vector (B, k, *S) positive, as its sign is arbitrary."""
    flat = vectors.flatten(2)
    largest = flat.gather(2, flat.abs().argmax(2, keepdim=True))
    return (flat * largest.sign()).view_as(vectors)


def telling(model: Model) -> Tangents:
    """Which of the three kinds of tangents shows the manifold that this model learns.

    The reconstruction's if the model denoises or a Jacobian is penalised; otherwise the decoder's
    if the code is smaller than the data, and the encoder's if it is not. On digits, the encoder's
    tangents of a contractive autoencoder reach into the background, where nothing contracts it.
    """
    if model.needs_corruption or any(r.penalises_jacobian for r in model.regularizers.values()):
        return of_reconstruction
    return of_decoder if model.latent < math.prod(model.shape) else of_encoder


def unconstrained(model: Model) -> bool:
    """Whether the code prefers no directions: it is larger than the data, and nothing holds it."""
    held = model.regularizers or model.posterior.stochastic or model.posterior.activation
    return model.latent > math.prod(model.shape) and not held and not model.needs_corruption


def nearest_neighbours(x: Tensor, among: Tensor, n: int) -> Tensor:
    """The n examples nearest to each x (B, *S) among (N, *S), without x itself: (B, n, *S)."""
    centre = among.flatten(1).mean(0)  # far from 0, rounding would swallow small differences
    a, b = (t.flatten(1) - centre for t in (x, among))
    apart = b.square().sum(1) - 2 * a @ b.T  # ‖a − b‖² − ‖a‖², (B, N)
    order = apart.topk(min(n + 1, len(among)), largest=False).indices  # (B, n + 1)
    # By its values: rounding gives x a distance from itself.
    itself = (among[order] == x[:, None]).flatten(2).all(2)
    first = order.gather(1, itself.int().argsort(dim=1, stable=True))
    return among[first[:, :-1]]


def local_pca(near: Tensor, k: int) -> Tensor:
    """The k leading principal directions (B, k, *S) of neighbours (B, n, *S)."""
    flat = near.flatten(2)
    V = torch.linalg.svd(flat - flat.mean(1, keepdim=True), full_matrices=False).Vh[:, :k]
    return upright(V.unflatten(2, near.shape[2:]))


def share(directions: Tensor, near: Tensor) -> float:
    """What share of the variance of neighbours (B, n, *S) lies in orthonormal ones (B, k, *S).

    No k directions have more than the neighbours' own, those of `local_pca`.
    """
    differences = near.flatten(2) - near.flatten(2).mean(1, keepdim=True)
    held = differences @ directions.flatten(2).mT  # (B, n, k)
    return float(held.square().sum() / differences.square().sum().clamp(min=1e-30))


def principal_angles(learned: Tensor, true: Tensor) -> Tensor:
    """The principal angles between learned and true tangent spaces, in degrees, rising: (B, d).

    If a true space has fewer than d dimensions, the last of its angles are not a number; a
    dimension without a learned vector is missed by 90°.

    Args:
        learned: orthonormal vectors, leading ones first (B, k, *S); as many count as the true
            space has dimensions.
        true: vectors that span the true space (B, d, *S), independent or not.
    """
    found = torch.full(true.shape[:2], torch.nan, dtype=torch.float64)
    pairs = zip(*(t.detach().cpu().double().flatten(2) for t in (learned, true)), strict=True)
    for b, (V, T) in enumerate(pairs):
        _, lengths, rows = torch.linalg.svd(T, full_matrices=False)
        rows = rows[lengths > RANK * lengths.max()]
        V = V[: len(rows)]
        found[b, : len(rows)] = 90
        # Sines, unlike cosines, are exact at small angles.
        sines = torch.linalg.svdvals(V - V @ rows.T @ rows)
        found[b, : len(V)] = sines.clamp(max=1).asin().rad2deg().flip(0)
    return found


def largest(learned: Tensor, true: Tensor) -> Tensor:
    """The largest principal angle of each, in degrees (B,): 0 if the spaces are the same."""
    return principal_angles(learned, true).nan_to_num(-1).amax(1)
