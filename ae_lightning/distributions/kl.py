"""KL divergences, in closed form or from samples; the penalty made of one is `Rate`."""

from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, kl_divergence, register_kl

from ae_lightning.distributions.independent import require_event


class UnitNormal(Normal):
    """N(0, 1) in every dimension, with divergences at half the operations of a general Normal's."""


@register_kl(Normal, UnitNormal)  # type: ignore[untyped-decorator]
def _(q: Normal, p: UnitNormal) -> Tensor:
    return (q.loc.square() + q.scale.square() - 1) / 2 - q.scale.log()


def kl(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    r"""KL(q ‖ p): (B,), in closed form if there is one, otherwise E_q[log q(z) − log p(z)] over z.

    Args:
        z: samples of q (R, B, K), for the Monte Carlo estimate.

    Raises:
        UsageError: if q and p are not over the same events.

    >>> import torch
    >>> q = Independent(Normal(torch.zeros(2, 3), torch.ones(3)), 1)
    >>> kl(q, q, q.sample((1,)))
    tensor([0., 0.])
    """
    require_event(p, q.event_shape, "the prior")
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return (q.log_prob(z) - p.log_prob(z)).mean(0)


def factorised_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """Return each dimension's KL (B, K) if q and p are products with a closed form, or None."""
    if not (isinstance(q, Independent) and isinstance(p, Independent)):
        return None
    if not q.base_dist.event_shape == p.base_dist.event_shape == ():
        return None
    try:
        return kl_divergence(q.base_dist, p.base_dist)
    except NotImplementedError:
        return None
