"""Single parts of training and evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.randomness import generator_of
from ae_lightning.core.types import Pair
from ae_lightning.corruptions import (
    BlockMasking,
    Compose,
    Corruption,
    GaussianNoise,
    Masking,
    SaltAndPepper,
)
from ae_lightning.evidence import log_likelihood
from ae_lightning.likelihoods import Bernoulli, Likelihood
from ae_lightning.nn import MLP, ConvDecoder, ConvEncoder, Sigmoid, TiedMLP
from ae_lightning.posteriors import Dirac
from ae_lightning.regularizers import Contractive, Regularizer
from ae_lightning.systems import VariationalAutoEncoder
from ae_lightning.training.allocator import keep_freed_memory

from .measure import Case, Goal, alternate, seconds_per_call

Penalties = dict[str, Regularizer]


def pair(batch: int = 128) -> Pair:
    x = torch.rand(batch, 1, 28, 28)
    return Pair(x, x, torch.zeros(batch), torch.arange(batch))


def stepper(model: AutoEncoder, batch: Pair) -> Callable[[], None]:
    """A training step without a trainer: forward, backward, fused Adam."""
    optimizer = model.optimizer(model.parameters())

    def step() -> None:
        optimizer.zero_grad()
        model.objective(model.propagate(batch))["loss"].backward()
        optimizer.step()

    return step


def mlp(K: int, penalties: Penalties) -> AutoEncoder:
    encoder, decoder = MLP((512, 256)), MLP((256, 512))
    return AutoEncoder((1, 28, 28), K, encoder, Dirac(), decoder, Bernoulli(), None, penalties)


def conv(K: int, penalties: Penalties) -> AutoEncoder:
    parts = ConvEncoder(), Dirac(), ConvDecoder(), Bernoulli(), None
    return AutoEncoder((1, 28, 28), K, *parts, penalties)


def layer(K: int, penalties: Penalties) -> AutoEncoder:
    parts = MLP(()), Dirac(Sigmoid()), TiedMLP(), Bernoulli(), None
    return AutoEncoder((1, 28, 28), K, *parts, penalties)


def jacobian() -> Goal:
    """A training step with Contractive, in plain steps of the same model, batch 128."""
    keep_freed_memory()
    batch, cases = pair(), []
    for name, make, K, projections, goal in (
        ("exact, mlp, K = 16", mlp, 16, None, 6.5),
        ("exact, mlp, K = 64", mlp, 64, None, 19.0),
        ("one projection, mlp, K = 16", mlp, 16, 1, 1.7),
        ("one projection, mlp, K = 64", mlp, 64, 1, 1.7),
        ("one projection, conv, K = 16", conv, 16, 1, 1.7),
        ("one layer, 16 units", layer, 16, None, 1.3),
        ("one layer, 256 units", layer, 256, None, 1.3),
        ("one layer, 512 units", layer, 512, None, 1.3),
    ):
        penalty = Contractive(0.1, projections=projections)
        plain, penalised = (stepper(make(K, p), batch) for p in ({}, {"contractive": penalty}))
        rounds = alternate(
            {"plain": seconds_per_call(plain, 40), "with": seconds_per_call(penalised, 20)}
        )
        ratios = rounds.ratios("with", "plain")
        cases.append(Case(name, ratios, goal, at_most=True, foreign=rounds.foreign))
    return Goal("jacobian", "Contractive, plain steps", cases)


def corruption() -> Goal:
    """The corruption of a batch of 128 images, as a part of an mlp training step.

    With its generator, which the data makes anew for every batch.
    """
    keep_freed_memory()
    batch = pair()
    step = stepper(VariationalAutoEncoder((1, 28, 28)), batch)
    kinds: list[Corruption] = [
        *(GaussianNoise(), Masking(), SaltAndPepper(), BlockMasking()),
        Compose([Masking(), GaussianNoise()]),
    ]

    def corrupting(corruption: Corruption) -> Callable[[], object]:
        return lambda: corruption(batch.x, generator_of(0, 1, 2, 3, 4))

    costs = {"step": seconds_per_call(step, 100)}
    costs |= {type(kind).__name__: seconds_per_call(corrupting(kind), 400) for kind in kinds}
    rounds = alternate(costs)
    names = [name for name in costs if name != "step"]
    cases = [
        Case(name, rounds.ratios(name, "step"), 0.07, at_most=True, foreign=rounds.foreign)
        for name in names
    ]
    return Goal("corruption", "corruption of a batch, mlp steps", cases)


@torch.no_grad()
def by_hundreds(model: AutoEncoder, x: Tensor, samples: int) -> Tensor:
    """log p(x) by importance sampling, image by image, in chunks of 100 samples."""
    estimates = []
    for image in x.split(1):
        mu, log_sigma = model.encoder(image).chunk(2, 1)
        sigma, log_w = log_sigma.exp(), []
        for _ in range(samples // 100):
            z = mu + sigma * torch.randn(100, mu.shape[1])
            log_ratio = Normal(0.0, 1.0).log_prob(z) - Normal(mu, sigma).log_prob(z)
            nll = nll_by_hand(model.likelihood, model.decoder(z), image)
            log_w.append(log_ratio.sum(1) - nll)
        estimates.append(torch.cat(log_w).logsumexp(0) - math.log(samples))
    return torch.stack(estimates)


def nll_by_hand(likelihood: Likelihood, features: Tensor, image: Tensor) -> Tensor:
    """−log p(x|z) of the two likelihoods that the row has: (n,)."""
    target = image.expand_as(features)
    if isinstance(likelihood, Bernoulli):
        each = F.binary_cross_entropy_with_logits(features, target, reduction="none")
        return each.flatten(1).sum(1)
    s, D = likelihood.log_sigma, image.numel()
    error = F.mse_loss(features, target, reduction="none").flatten(1).sum(1)
    return error * (-2 * s).exp() / 2 + D * (s + math.log(2 * math.pi) / 2)


def evidence() -> Goal:
    """Log p(x) with 5000 samples an image, against a loop in chunks of 100, of the same model."""
    keep_freed_memory()
    goal, x = Goal("evidence", "log p(x) / a loop in chunks of 100"), pair(8).x
    for name, likelihood in (("Gaussian", None), ("Bernoulli", Bernoulli())):
        model = VariationalAutoEncoder((1, 28, 28), likelihood=likelihood).eval()
        estimate = partial(log_likelihood, model, x, 5000)
        half = partial(estimate, precision=torch.bfloat16)
        costs = {
            "loop": seconds_per_call(partial(by_hundreds, model, x, 5000), 1),
            "float32": seconds_per_call(estimate, 1),
            "bfloat16": seconds_per_call(half, 1),
        }
        rounds = alternate(costs)
        for kind in ("float32", "bfloat16"):
            ratios = rounds.ratios("loop", kind)
            goal.cases.append(Case(f"{name}, {kind}", ratios, 2.5, foreign=rounds.foreign))
    return goal
