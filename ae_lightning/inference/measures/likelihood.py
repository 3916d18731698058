"""How probable a model finds the data: the bound, its parts, and log p(x) itself."""

import math

import torch
from torch import Tensor

from ae_lightning.core.printing import counted
from ae_lightning.corruptions import Dequantise
from ae_lightning.distributions import kl
from ae_lightning.evidence import log_likelihood
from ae_lightning.inference.inputs import Inputs
from ae_lightning.inference.measures.figures import (
    STANDARD,
    Averages,
    Figure,
    Settings,
    elements,
    first,
    pairs,
)
from ae_lightning.inference.trained import TrainedModel
from ae_lightning.likelihoods import Bernoulli, Categorical
from ae_lightning.metrics import bits_per_dimension


@torch.no_grad()
def likelihood(
    trained: TrainedModel, inputs: Inputs, settings: Settings = STANDARD
) -> list[Figure]:
    r"""Measure D = −E_q log p(x|z), R = KL(q(z|x) ‖ p(z)), the ELBO −(D + R), and log p(x).

    log p(x) is estimated from below by importance sampling (`log_likelihood`), at K samples and at
    1, over the first examples; its standard errors are those over the examples, and over repeats
    with other samples. A deterministic posterior has D alone.
    """
    model, found = trained.model, Averages()
    binary = isinstance(model.likelihood, Bernoulli)  # and so are the data
    for pair in pairs(trained, inputs, settings.batch_size, "Likelihood"):
        out = model.propagate(pair)
        D = model.distortion(out)
        found.add(distortion=D)
        if model.posterior.stochastic:
            R = kl(out.q, model.prior(), out.z)
            found.add(rate=R, elbo=-(D + R))
        binary = binary and bool(((pair.x == 0) | (pair.x == 1)).all())
    figures = [
        found.figure(name, "nats")
        for name in ("elbo", "distortion", "rate")
        if name in found.moments
    ]
    if not model.posterior.stochastic:
        return figures
    figures += evidence(trained, inputs, settings)
    return figures + bits(trained, inputs, figures[-1], binary)


def evidence(trained: TrainedModel, inputs: Inputs, settings: Settings) -> list[Figure]:
    """Estimate log p(x) of the first examples, from one sample of each and from K."""
    some, estimates, single = first(inputs, settings.subset), list[Tensor](), Averages()
    seeds = [settings.seed + r for r in range(settings.repeats)]
    size = min(settings.batch_size, 64)  # so that progress is seen
    for pair in pairs(trained, some, size, "log p(x)"):
        ask = (trained.model, pair.x)
        single.add(log_p_1=log_likelihood(*ask, 1, settings.seed, pair.places))
        each = [log_likelihood(*ask, settings.samples, seed, pair.places) for seed in seeds]
        estimates.append(torch.stack(each))
    log_p = torch.cat(estimates, dim=1)  # (repeats, n)
    of = f"the first {counted(len(some), 'example')}"
    by = f"seed {settings.seed}"
    if len(seeds) > 1:
        over_repeats = float(log_p.mean(1).std())
        by = f"{len(seeds)} repeats from {by} on, which vary by {over_repeats:.2g}"
    found = Averages()
    found.add(log_p=log_p.mean(0))
    return [
        single.figure("log_p_1", "nats", f"K = 1, {of}, seed {settings.seed}"),
        found.figure("log_p", "nats", f"K = {settings.samples}, {of}, {by}"),
    ]


def bits(trained: TrainedModel, inputs: Inputs, log_p: Figure, binary: bool) -> list[Figure]:
    """Convert log p(x) to bits a dimension, if it is that of bytes or of bits.

    A density of values that are no bytes, or were not dequantised, has no code length.
    """
    D = elements(trained.shape)
    nll, scale = torch.tensor(-log_p.value), D * math.log(2)
    if isinstance(trained.model.likelihood, Categorical) or binary:
        value = float(nll) / scale
    elif isinstance(inputs.data.preparation, Dequantise):
        value = float(bits_per_dimension(nll, D))
    else:
        return []
    assert log_p.error is not None
    return [Figure("bits_per_dimension", value, "bits", log_p.error / scale, note="of log_p")]
