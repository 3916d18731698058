"""Single parts of training and evaluation, and start-up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

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
from ae_lightning.likelihoods import Bernoulli
from ae_lightning.nn import MLP, ConvDecoder, ConvEncoder, Sigmoid, TiedMLP
from ae_lightning.posteriors import Dirac
from ae_lightning.regularizers import Contractive, Regularizer
from ae_lightning.systems import VariationalAutoEncoder
from ae_lightning.training.allocator import keep_freed_memory

from .measure import Case, Goal, alternate, seconds_per_call
from .product import run_apart

Penalties = dict[str, Regularizer]


def pair(batch: int = 128) -> Pair:
    x = torch.rand(batch, 1, 28, 28)
    return Pair(x, x, torch.zeros(batch), torch.arange(batch))


def stepper(model: AutoEncoder, batch: Pair) -> Callable[[], None]:
    """A training step without a trainer: forward, backward, fused Adam."""
    optimizer = model.configure_optimizers()

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
        cases.append(Case(name, ratios, goal, at_most=True, noise=rounds.foreign))
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
        Case(name, rounds.ratios(name, "step"), 0.07, at_most=True, noise=rounds.foreign)
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
            logits = model.decoder(z)
            target = image.expand_as(logits)
            nll = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
            log_ratio = Normal(0.0, 1.0).log_prob(z) - Normal(mu, sigma).log_prob(z)
            log_w.append(log_ratio.sum(1) - nll.flatten(1).sum(1))
        estimates.append(torch.cat(log_w).logsumexp(0) - math.log(samples))
    return torch.stack(estimates)


def evidence() -> Goal:
    """Log p(x) with 5000 samples an image, against a loop in chunks of 100."""
    keep_freed_memory()
    model, x = VariationalAutoEncoder((1, 28, 28)).eval(), pair(8).x
    rounds = alternate(
        {
            "loop": seconds_per_call(lambda: by_hundreds(model, x, 5000), 1),
            "float32": seconds_per_call(lambda: log_likelihood(model, x, 5000), 1),
            "bfloat16": seconds_per_call(
                lambda: log_likelihood(model, x, 5000, precision=torch.bfloat16), 1
            ),
        }
    )
    cases = [
        Case(name, rounds.ratios("loop", name), 2.5, noise=rounds.foreign)
        for name in ("float32", "bfloat16")
    ]
    return Goal("evidence", "log p(x) / a loop in chunks of 100", cases)


def starting(*arguments: str, fails: bool = False) -> Callable[[], float]:
    """A cost: the seconds that Python takes with these arguments."""

    def cost() -> float:
        start = time.perf_counter()
        run_apart(list(arguments), {}, may_fail=fails)
        return time.perf_counter() - start

    return cost


def startup() -> Goal:
    """The command line's front against importing torch; a wrong option, lightning."""
    own = ("-m", "ae_lightning")
    wrong = ("fit", "--config", "vae", "--config", "digits", "--trainer.max_epoch", "3")
    front = {
        "ae-lightning": starting(*own),
        "--help": starting(*own, "--help"),
        "configs": starting(*own, "configs"),
        "an unknown command": starting(*own, "fitt", fails=True),
    }
    option = "a wrong option of fit"
    rounds = alternate(
        {
            **front,
            option: starting(*own, *wrong, fails=True),
            "torch": starting("-c", "import torch"),
            "lightning": starting("-c", "import lightning.pytorch"),
        }
    )
    cases = [Case(n, rounds.ratios(n, "torch"), 0.3, True, rounds.foreign) for n in front]
    cases.append(Case(option, rounds.ratios(option, "lightning"), 1.2, True, rounds.foreign))
    return Goal("startup", "start-up / an import", cases)
