"""Samplers: draw x from a trained model through its prior, by a Markov chain, or along a score.

All draw from torch's global generators: seed or fork those around a call.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Distribution

from ae_lightning.core.errors import UsageError
from ae_lightning.model import Model

FOLDS = 7.0  # by how much log σ may fall: from 1 to 0.001


@torch.no_grad()
def ancestral(model: Model, n: int, density: Distribution | None = None) -> Tensor:
    r"""Draw x ~ p(x|z), z ~ p(z): n examples (n, *S).

    For pictures, prefer the means of p(x|z), which `model.sample` gives: a draw of p(x|z) adds
    noise to every element.

    Args:
        density: of codes, as for `model.sample`, in place of the prior p(z).

    Raises:
        UsageError: as `model.sample`.
    """
    return model.decode(model.sample_codes(n, density)).sample()  # type: ignore[no-any-return]


@torch.no_grad()
def denoising_chain(
    denoise: Callable[[Tensor], Distribution], x: Tensor, sigma: float, steps: int
) -> Tensor:
    r"""Run the Markov chain of a denoising autoencoder: x̃ ~ N(x, σ²I), then x ~ p(x|x̃).

    If p(x|x̃) is the true reverse of the corruption, the chain preserves the density of the data.
    With its mean in place of a draw it does not: on N(0, s²), where r(x̃) = a x̃ with
    a = s²/(s² + σ²), the chain shrinks to the variance a²σ²/(1 − a²).

    Args:
        denoise: from x̃ (B, *S) to p(x|x̃), with batch (B,) and event S; for a model,
            `lambda x: model.decode(model.code(x))`.
        x: the starting points of the chains (B, *S), whose last states are returned.
        sigma: the standard deviation of the corruption that `denoise` was trained with.
        steps: the length of the chain.

    Raises:
        UsageError: if sigma is not positive, so that the chain would not move.

    References:
        | Generalized Denoising Auto-Encoders as Generative Models (Bengio et al., 2013)

    >>> from torch.distributions import Independent, Normal
    >>> reverse = lambda x: Independent(Normal(x / 2, 0.5**0.5), 1)  # for x ~ N(0, 1), σ = 1
    >>> x = denoising_chain(reverse, torch.zeros(50_000, 1), sigma=1.0, steps=20)
    >>> x.std().round(decimals=1)
    tensor(1.)
    """
    if not sigma > 0:
        raise UsageError(f"sigma is {sigma}: the chain needs Gaussian corruption with sigma > 0.")
    return walkback(denoise, lambda x: x + sigma * torch.randn_like(x), x, steps)


@torch.no_grad()
def walkback(
    denoise: Callable[[Tensor], Distribution],
    corrupt: Callable[[Tensor], Tensor],
    x: Tensor,
    steps: int,
) -> Tensor:
    """Run `denoising_chain` for a corruption of any kind: x̃ ~ C(x̃|x), then x ~ p(x|x̃).

    >>> from torch.distributions import Independent, Normal
    >>> reverse = lambda x: Independent(Normal(x, 0.1), 1)
    >>> walkback(reverse, lambda x: x / 2, torch.ones(5, 1), steps=3).shape
    torch.Size([5, 1])
    """
    for _ in range(steps):
        x = denoise(corrupt(x)).sample()
    return x


@torch.no_grad()
def langevin(score: Callable[[Tensor], Tensor], x: Tensor, step: float, n: int) -> Tensor:
    r"""Run unadjusted Langevin dynamics: x ← x + ε s(x) + √(2ε) ξ, with ξ ~ N(0, I).

    For small ε it samples the density whose score is s: with a score estimated by denoising at
    σ, the data density smoothed by σ. On N(0, v) its variance is v/(1 − ε/(2v)).

    Args:
        score: s = ∇ log p, from x (B, *S) to (B, *S); for a model,
            `lambda x: geometry.score(model, x, sigma)`.
        x: the starting points of the chains (B, *S), whose last states are returned.
        step: ε, in squared units of x.
        n: the number of steps.

    Raises:
        UsageError: if the step is not positive.

    References:
        | Exponential Convergence of Langevin Distributions (Roberts and Tweedie, 1996)

    >>> x = langevin(lambda x: -x, torch.zeros(50_000), step=0.1, n=100)  # p = N(0, 1)
    >>> x.std().round(decimals=1)
    tensor(1.)
    """
    if not step > 0:
        raise UsageError(f"step is {step}: Langevin dynamics need a step above 0.")
    for _ in range(n):
        x = x + step * score(x) + math.sqrt(2 * step) * torch.randn_like(x)
    return x


@torch.no_grad()
def annealed_langevin(
    denoise: Callable[[Tensor], Tensor], x: Tensor, sigma: float, step: float, noise: float = 0.2
) -> Tensor:
    r"""Climb the score from coarse to fine, by a denoiser that was trained over a range of σ.

    x ← x + h (r(x) − x) + γ ξ, with ξ ~ N(0, I). The noise that is left in x is σ̂ = RMS(r(x) − x),
    since the score is (r(x) − x)/σ²; γ² = ((1 − βh)² − (1 − h)²) σ̂² lets it fall by the factor
    1 − βh a step. An example stays as it is once σ̂ < σ.

    Args:
        denoise: r, from x (B, *S) to (B, *S).
        x: the starting points (B, *S), at the largest σ; where they end is returned.
        sigma: σ, the smallest that `denoise` was trained for.
        step: h, in (0, 1].
        noise: β, in (0, 1]: at 1 none is added, and the less it is, the more.

    Raises:
        UsageError: if σ is not positive, or h or β is outside (0, 1].

    References:
        | Solving Linear Inverse Problems Using the Prior Implicit in a Denoiser
        | (Kadkhodaie and Simoncelli, 2021), algorithm 1

    >>> x = 3 + torch.randn(50, 100)  # all the data are 3: r(x) = 3
    >>> annealed_langevin(lambda x: torch.full_like(x, 3.0), x, 0.01, step=0.5).mean().round()
    tensor(3.)
    """
    if not (sigma > 0 and 0 < step <= 1 and 0 < noise <= 1):
        raise UsageError(
            f"sigma is {sigma}, step {step} and noise {noise}: expected sigma above 0, the others "
            "in (0, 1]."
        )
    falling = ((1 - noise * step) ** 2 - (1 - step) ** 2) ** 0.5
    # Where the denoiser is poor, σ̂ need not fall: three times the steps that it takes if it does.
    for _ in range(math.ceil(3 * FOLDS / (noise * step))):
        towards = denoise(x) - x
        left = towards.square().flatten(1).mean(1).sqrt().view(-1, *[1] * (x.ndim - 1))  # σ̂ (B, …)
        going = left >= sigma
        if not going.any():
            break
        x = torch.where(going, x + step * towards + falling * left * torch.randn_like(x), x)
    return x
