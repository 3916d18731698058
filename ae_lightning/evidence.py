"""The evidence log p(x) of a model, by importance sampling."""

import math

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError, at_least
from ae_lightning.core.randomness import seed_of
from ae_lightning.distributions import sample_by_index
from ae_lightning.model import Model


@torch.no_grad()
def log_likelihood(
    model: Model,
    x: Tensor,
    samples: int = 5000,
    seed: int = 0,
    places: Tensor | None = None,
    precision: torch.dtype | None = None,
    rows: int = 2000,
) -> Tensor:
    r"""Estimate log p(x) from below by importance sampling with q(z|x): (B,), in float64 nats.

    .. math:: \log \frac1K \sum_k \frac{p(x|z_k)\, p(z_k)}{q(z_k|x)}, \qquad z_k \sim q(z|x)

    Its expectation rises with K, from the ELBO at K = 1 to log p(x). Compare models at the same
    K, and report K, the seed and the examples with the estimate.

    Args:
        model: any autoencoder with a stochastic posterior, in evaluation mode.
        x: the examples (B, *S).
        samples: K, the number of samples per example.
        seed, places: an example's samples are a function of the seed and its place (B,) alone; if
            places is None, its place in x.
        precision: torch.bfloat16 runs the decoder in that precision: three times as fast on a
            processor that has it, but off by some hundredths of a nat. None is exact.
        rows: how many samples to decode at once; below K, the noise is drawn in other portions.

    Raises:
        UsageError: if the posterior is a point mass, which has no density.

    References:
        | Importance Weighted Autoencoders (Burda, Grosse and Salakhutdinov, 2016)
    """
    if not model.posterior.stochastic:
        name = type(model.posterior).__name__
        raise UsageError(f"log p(x) is estimated with a stochastic posterior, not {name}.")
    at_least("samples", samples, 1)
    places = torch.arange(len(x)) if places is None else places
    prior = model.prior()
    chunk = min(samples, rows)
    group = max(1, rows // chunk)
    estimates = []
    for x_g, places_g in zip(torch.split(x, group), torch.split(places, group), strict=True):
        q = model.encode(x_g)
        log_w = []
        # One context for all chunks, since it caches the weights that it has cast.
        with torch.autocast(x.device.type, precision, enabled=precision is not None):
            for start in range(0, samples, chunk):
                z = sample_by_index(q, chunk, seed_of(seed, start), places_g)[: samples - start]
                log_p = model.decode(z).log_prob(x_g)  # (chunk, group)
                log_w.append(log_p.double() + prior.log_prob(z).double() - q.log_prob(z).double())
        estimates.append(torch.cat(log_w).logsumexp(0) - math.log(samples))
    return torch.cat(estimates)
