"""The evidence log p(x) of a model, by importance sampling."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError, at_least
from ae_lightning.core.randomness import seed_of
from ae_lightning.distributions import IndependentNormal, sample_by_index
from ae_lightning.likelihoods import Gaussian
from ae_lightning.model import Model
from ae_lightning.nn import MLP

BLOCKS = 4  # of rows of a triangle, whose zeros are then not multiplied
TURNED = 500  # samples an example from which on turning the images costs less than it saves


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
            processor that has it, but off by some hundredths of a nat. None rounds no
            more than a millionth (see `log_density`).
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
    log_p = log_density(model, turned=precision is None and samples >= TURNED)
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
                log_w.append(
                    log_p(z, x_g).double() + prior.log_prob(z).double() - q.log_prob(z).double()
                )
        estimates.append(torch.cat(log_w).logsumexp(0) - math.log(samples))
    return torch.cat(estimates)


def log_density(model: Model, turned: bool) -> Callable[[Tensor, Tensor], Tensor]:
    r"""Return the function (z, x) ↦ log p(x|z): (n, B, K), (B, *S) -> (n, B).

    Turned, a Gaussian around the output W h(z) + b of an MLP with fewer last units H than x has
    elements D is taken in an orthonormal basis Q of what W spans, in which it has H elements:

    .. math:: \lVert x - b - Wh \rVert^2 = \lVert Q^T(x - b) - Rh \rVert^2
        + \lVert (1 - QQ^T)(x - b) \rVert^2, \qquad W = QR

    where the second term does not depend on z. Both are sums of squares, so that nothing cancels.
    """
    decoder, likelihood = model.decoder, model.likelihood
    if turned and type(decoder) is MLP and type(likelihood) is Gaussian:
        W = decoder.layers[-1].weight  # (D, H)
        if W.shape[1] < W.shape[0]:
            Q, R = torch.linalg.qr(W.double())
            return partial(_turned, decoder, likelihood, Q, R.to(W))
    return lambda z, x: model.decode(z).log_prob(x)


def _turned(
    decoder: MLP, likelihood: Gaussian, Q: Tensor, R: Tensor, z: Tensor, x: Tensor
) -> Tensor:
    D, H = Q.shape
    s, event = likelihood(x).log_sigma, x.flatten(1).double() - decoder.layers[-1].bias.double()
    within = event @ Q  # (B, H)
    apart = (event - within @ Q.T).square().sum(1) * (-2 * s).exp() / 2
    h, *_ = decoder.last_hidden(z.flatten(0, -2))
    starts = range(0, H, -(-H // BLOCKS))
    mean = torch.cat(
        [h[:, i:] @ r[:, i:].T for i, r in zip(starts, R.split(starts.step), strict=True)], 1
    )
    p = IndependentNormal(mean.unflatten(0, z.shape[:-1]), s, 1)
    constant = (D - H) * (s + math.log(2 * math.pi) / 2)
    log_p: Tensor = p.log_prob(within.to(mean)) - (apart + constant)
    return log_p
