"""The geometry of a model at x: Jacobians, their spectra and tangents, and the score estimate.

Every function is pure in a map (or a model) and points, and differentiable if the map is.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vjp, vmap

from ae_lightning.core.errors import UsageError
from ae_lightning.core.memory import fitting
from ae_lightning.distributions import single
from ae_lightning.model import Model
from ae_lightning.nn import ROWS, UnitVariance, slope

Map = Callable[[Tensor], Tensor]


def layers_in(f: Map) -> list[nn.Module]:
    """The modules inside `f`, if it is one or a method of one."""
    owner = f if isinstance(f, nn.Module) else getattr(f, "__self__", None)
    return [*owner.modules()] if isinstance(owner, nn.Module) else []


@contextmanager
def fixed_statistics(f: Map) -> Iterator[None]:
    """Hold the batch statistics inside `f`, a module or a module's method, constant in x."""
    before = {m: m.fixed for m in layers_in(f) if isinstance(m, UnitVariance)}
    for layer in before:
        layer.fixed = True
    try:
        yield
    finally:
        for layer, fixed in before.items():
            layer.fixed = fixed


@contextmanager
def differentiating() -> Iterator[None]:
    """Leave inference mode, in which torch 2.7 takes every derivative for zero."""
    if not torch.is_inference_mode_enabled():
        yield
        return
    with torch.inference_mode(False), torch.no_grad():
        yield


def basis(shape: Sequence[int], like: Tensor) -> Tensor:
    """Return the unit vectors (N, B, *shape) of an N-dimensional space, the same at every point."""
    N = math.prod(shape)
    eye = torch.eye(N, dtype=like.dtype, device=like.device).view(N, 1, *shape)
    return eye.expand(N, len(like), *shape)


@contextmanager
def counting(f: Map) -> Iterator[list[int]]:
    """Count the bytes that each layer inside f returns."""
    found: list[int] = []

    def count(layer: nn.Module, inputs: Any, output: Any) -> None:
        found.append(output.nbytes if isinstance(output, Tensor) else 0)

    hooks = [layer.register_forward_hook(count) for layer in layers_in(f)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def rows_that_fit(returned: int, x: Tensor) -> int:
    """How many rows or columns of ∂f/∂x, over the batch, a quarter of the free memory holds.

    Args:
        returned: how many bytes f and the layers inside it return at x. A row is taken to need as
            much, and twice that if it is to be differentiated.
    """
    each = returned * (2 if torch.is_grad_enabled() else 1)
    return fitting(each, max(1, ROWS // len(x)), x.device)


def at_once(f: Map, x: Tensor) -> int:
    """How many rows of ∂f/∂x fit into memory at once, as in `rows_that_fit`."""
    rng = torch.random.fork_rng([x.device] if x.is_cuda else [])
    with torch.no_grad(), rng, fixed_statistics(f), counting(f) as returned:
        y = f(x[:1])
    return rows_that_fit((y.nbytes + sum(returned)) * len(x), x)


def strips(f: Map, x: Tensor, chunk: int | None = None) -> tuple[Iterator[Tensor], torch.Size]:
    """Rows (n, B, *S) of the exact Jacobian of f at x, `chunk` at a time, and the shape K of f(x).

    If the input is smaller than the output, they are columns (n, B, *K) instead.
    """
    with fixed_statistics(f), counting(f) as returned:
        y, pullback = vjp(f, x)[:2]
    if chunk is None:
        chunk = rows_that_fit(y.nbytes + sum(returned), x)
    if x[0].numel() >= y[0].numel():
        along, unit = pullback, basis(y.shape[1:], y)
    else:
        # uᵀJ is linear in u, and the transpose of that map is v -> Jv.
        along = vjp(lambda u: pullback(u)[0], torch.zeros_like(y))[1]
        unit = basis(x.shape[1:], x)
    return (vmap(lambda u: along(u)[0])(part) for part in unit.split(chunk)), y.shape[1:]


def jacobian(f: Map, x: Tensor, chunk: int | None = None) -> Tensor:
    r"""Compute the exact Jacobian ∂f/∂x of every example: (B, *S) -> (B, *K, *S).

    Row by row if the output is no larger than the input, otherwise column by column.

    Args:
        f: maps (B, *S) to (B, *K), each example on its own.
        x: the points (B, *S).
        chunk: how many rows or columns to compute at once; if None, as many as memory allows.

    >>> jacobian(lambda x: x**2, torch.tensor([[1.0, 2.0]]))
    tensor([[[2., 0.],
             [0., 4.]]])
    """
    with differentiating():
        parts, K = strips(f, x, chunk)
        J = torch.cat([*parts])
    if x[0].numel() >= math.prod(K):
        return J.movedim(0, 1).unflatten(1, K) if K else J[0]  # type: ignore[no-any-return]
    return J.movedim(0, -1).unflatten(-1, x.shape[1:])  # type: ignore[no-any-return]


def squared_norm(f: Map, x: Tensor) -> Tensor:
    r"""Compute ‖∂f/∂x‖²_F of every example, holding no more of ∂f/∂x than memory allows: (B,)."""
    with differentiating():
        parts, _ = strips(f, x)
        return sum(part.movedim(0, 1).square().flatten(1).sum(1) for part in parts)  # type: ignore[return-value]


def vector_jacobian(f: Map, x: Tensor, u: Tensor) -> Tensor:
    r"""Compute uᵀ ∂f/∂x for n vectors u (n, B, *K), without the Jacobian: (n, B, *S).

    >>> vector_jacobian(lambda x: x**2, torch.tensor([[1.0, 2.0]]), torch.ones(1, 1, 2))
    tensor([[[2., 4.]]])
    """
    with fixed_statistics(f), differentiating():
        pullback = vjp(f, x)[1]
        return vmap(lambda v: pullback(v)[0])(u)  # type: ignore[no-any-return]


def squared_jacobian(model: Model, x: Tensor, features: Tensor | None = None) -> Tensor:
    r"""Compute ‖∂f/∂x‖²_F of the code f at x, exactly: (B,).

    For an elementwise code activation a and an MLP encoder u it is Σ_k a′(u_k)² ‖∂u_k/∂x‖², and
    for one sigmoid layer Σ_k (h_k(1 − h_k))² ‖W_k‖².

    Args:
        features: the encoder's output at this very x, if it is already known.
    """
    posterior, encoder = model.posterior, model.encoder
    activation = posterior.activation
    if encoder.explicit and posterior.direct and (activation is None or activation.elementwise):
        features = encoder(x) if features is None else features
        rows = encoder.squared_gradients(x, features, model.latent)  # (B, K)
        if activation is not None:
            with fixed_statistics(activation):
                rows = slope(activation, single(features)).square() * rows
        return rows.sum(1)
    return squared_norm(model.code, x)


def code_projections(model: Model, x: Tensor, u: Tensor, features: Tensor | None = None) -> Tensor:
    """Compute uᵀ ∂f/∂x of the code f, like `vector_jacobian`: (n, B, K) -> (n, B, D).

    Args:
        features: as in `squared_jacobian`; they save an MLP encoder its forward pass.
    """
    posterior, encoder = model.posterior, model.encoder
    activation = posterior.activation
    if not encoder.explicit:
        return vector_jacobian(model.code, x, u).flatten(2)
    features = encoder(x) if features is None else features
    if posterior.direct and activation is None:
        v = u
    elif posterior.direct and activation is not None and activation.elementwise:
        with fixed_statistics(activation):
            v = u * slope(activation, single(features))
    else:
        v = vector_jacobian(posterior.code, single(features), u)  # (n, B, F)
    return encoder.pull_back(x, features, v)


def squared_reconstruction_jacobian(model: Model, x: Tensor) -> Tensor:
    r"""Compute ‖∂r/∂x‖²_F of the reconstruction r = g∘f at x, exactly: (B,).

    If the code is smaller than the data, it is computed as ⟨J_gᵀJ_g, J_f J_fᵀ⟩.
    """
    D, K = x[0].numel(), model.latent
    if K >= D:
        return squared_norm(model.reconstruct, x)
    # Both Jacobians, and what squares them, of so many examples.
    size = fitting(4 * D * K * x.element_size(), len(x), x.device)
    with fixed_statistics(model):
        z = model.code(x)
    found = []
    for some, code in zip(x.split(size), z.split(size), strict=True):
        J_f = jacobian(model.code, some).flatten(2)  # (B, K, D)
        J_g = jacobian(lambda z: model.decode(z).mean, code).flatten(1, -2)  # (B, D, K)
        gram: Tensor = (J_g.mT @ J_g) * (J_f @ J_f.mT)  # (B, K, K)
        found.append(gram.flatten(1).sum(1))
    return torch.cat(found)


def spectrum(f: Map, x: Tensor, chunk: int | None = None) -> Tensor:
    """Return the singular values of ∂f/∂x, largest first: (B, min(K, D)); `chunk` as in `jacobian`.

    >>> spectrum(lambda x: x * torch.tensor([1.0, 3.0]), torch.zeros(1, 2))
    tensor([[3., 1.]])
    """
    return torch.linalg.svdvals(jacobian(f, x, chunk).flatten(2))  # type: ignore[no-any-return]


def tangents(
    f: Map, x: Tensor, k: int | None = None, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    r"""Return the k leading right singular vectors of ∂f/∂x (B, k, *S), and the whole `spectrum`.

    For an encoder, these are the directions of the input to which its code is most sensitive.
    `chunk` is as in `jacobian`.

    >>> tangents(lambda x: x * torch.tensor([1.0, 3.0]), torch.zeros(1, 2), k=1)[0].abs()
    tensor([[[0., 1.]]])
    """
    J = jacobian(f, x, chunk).flatten(2)  # (B, K, D)
    _, values, V = torch.linalg.svd(J, full_matrices=False)
    return V[:, :k].unflatten(2, x.shape[1:]), values


def decoder_tangents(
    g: Map, z: Tensor, k: int | None = None, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    r"""Return the k leading left singular vectors of ∂g/∂z (B, k, *S), and the whole `spectrum`.

    For a decoder, these span the tangent space at g(z) of the manifold that it has learned.
    `chunk` is as in `jacobian`.

    >>> decoder_tangents(lambda z: z * torch.tensor([0.0, 3.0]), torch.ones(1, 1))[0].abs()
    tensor([[[0., 1.]]])
    """
    J = jacobian(g, z, chunk)  # (B, *S, K)
    shape = J.shape[1:-1]
    U, values, _ = torch.linalg.svd(J.flatten(1, -2), full_matrices=False)
    return U.mT[:, :k].unflatten(2, shape), values


def score(model: Model, x_tilde: Tensor, sigma: float) -> Tensor:
    r"""Estimate ∇ log p_σ(x̃) by (r(x̃) − x̃)/σ², with p_σ the data density smoothed by σ.

    Args:
        sigma: the standard deviation of the Gaussian corruption that the model was trained with.

    Raises:
        UsageError: if σ is not positive, or x̃ is not a floating-point tensor.

    References:
        | A Connection Between Score Matching and Denoising Autoencoders (Vincent, 2011)

    >>> from ae_lightning.systems import DenoisingAutoEncoder
    >>> score(DenoisingAutoEncoder((1, 8, 8)), torch.zeros(2, 1, 8, 8), sigma=0.1).shape
    torch.Size([2, 1, 8, 8])
    """
    if not sigma > 0:
        raise UsageError(f"sigma is {sigma}: a score needs Gaussian corruption with sigma > 0.")
    if not x_tilde.is_floating_point():
        raise UsageError(f"x_tilde is {x_tilde.dtype}: a mass function has no score; use floats.")
    return (model.reconstruct(x_tilde) - x_tilde) / sigma**2
