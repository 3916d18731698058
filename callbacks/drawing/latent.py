"""What pictures of the code share: where it lies, how far it spreads, which dimensions matter."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Independent

from ae_lightning.distributions import factorised_kl


def location_and_scale(model: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and standard deviation (K,) of the prior or, of a point mass, of the codes of x."""
    if model.posterior.stochastic:
        p = model.prior()
        return p.mean, p.stddev
    code = model.code(x)
    return code.mean(0), code.std(0, unbiased=False)


def importance(model: Any, x: Tensor) -> tuple[Tensor, str]:
    """How much every dimension (K,) says of x: its mean KL in nats, or else its code's variance.

    Returns:
        the figures, and what they are.
    """
    q = model.encode(x)
    if model.posterior.stochastic and (kl := factorised_kl(q, model.prior())) is not None:
        return kl.mean(0), "KL in nats"
    return q.mean.var(0, unbiased=False), "variance"


def quantiles(model: Any, x: Tensor, u: Tensor) -> Tensor:
    """The quantiles u (N,) of every dimension of the prior or, of a point mass, of the codes of x.

    Returns:
        the values (N, K).
    """
    if not model.posterior.stochastic:
        return model.code(x).quantile(u, dim=0)  # type: ignore[no-any-return]
    p = model.prior()
    if isinstance(p, Independent):
        try:
            return p.base_dist.icdf(u[:, None])  # type: ignore[no-any-return]
        except NotImplementedError:
            pass
    return p.sample((20_000,)).quantile(u, dim=0)  # type: ignore[no-any-return]


def spherical(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    r"""Interpolate along the great circle: (P, K), (P, K), (T,) -> (P, T, K).

    .. math:: \Bigl((1-t)\lVert a\rVert + t\lVert b\rVert\Bigr)\;
        \frac{\sin((1-t)Ω)\,\hat a + \sin(tΩ)\,\hat b}{\sin Ω}

    with Ω the angle between a and b, and the hats their directions; in a straight line, where they
    point the same way or opposite. Under a normal prior of many dimensions codes lie near a sphere,
    which a straight line leaves.

    References:
        | Animating Rotation with Quaternion Curves (Shoemake, 1985)
        | Sampling Generative Networks (White, 2016)
    """
    units = [torch.nn.functional.normalize(end, dim=1)[:, None] for end in (a, b)]
    angle = (units[0] * units[1]).sum(2, keepdim=True).clamp(-1, 1).acos()  # (P, 1, 1)
    norm = linear(a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True), t)  # (P, T, 1)
    t = t[:, None]
    arc = ((1 - t) * angle).sin() * units[0] + (t * angle).sin() * units[1]  # (P, T, K)
    turns = angle.sin() > 1e-3
    return torch.where(turns, norm * arc / angle.sin().clamp(min=1e-3), linear(a, b, t[:, 0]))


def linear(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Interpolate in a straight line: (P, K), (P, K), (T,) -> (P, T, K)."""
    return a[:, None] + t[:, None] * (b - a)[:, None]
