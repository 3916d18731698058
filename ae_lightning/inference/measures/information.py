"""What the code says about the data, and how its elements depend on each other."""

import math
from inspect import signature
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent

from ae_lightning.core.randomness import generator_of, seed_of
from ae_lightning.distributions import sample_by_index
from ae_lightning.inference.inputs import Inputs
from ae_lightning.inference.measures.figures import (
    STANDARD,
    Averages,
    Figure,
    NotDefined,
    Settings,
    pairs,
)
from ae_lightning.inference.trained import TrainedModel
from ae_lightning.metrics import ACTIVE_VARIANCE
from ae_lightning.priors import Prior
from ae_lightning.regularizers.divergences import TotalCorrelation, aggregate, factors

# With batch (B,) and event (K,); quoted, since torch 2.7 has no subscript of it.
Product: TypeAlias = "Independent[Distribution]"

M = 256  # examples that stand for all in an estimate of q(z)
MOST = 16_384  # examples that are kept for it
BIAS = "total_correlation_bias"


@torch.no_grad()
def information(
    trained: TrainedModel, inputs: Inputs, settings: Settings = STANDARD
) -> list[Figure]:
    r"""Measure the parts of the rate, of the aggregate posterior q(z) = E_x q(z|x), and the units.

    .. math::
        E\, KL(q(z|x) ‖ p(z))
        = I(x; z) + KL(q(z) ‖ \prod_k q(z_k)) + \sum_k KL(q(z_k) ‖ p(z_k))

    for a prior that is a product. The first two are estimated by minibatch stratified sampling
    (see `TotalCorrelation`), whose bias is told by the same estimate on codes whose elements are
    shuffled among the examples: their total correlation is 0. A unit is active if the mean of its
    element varies over the examples by more than 0.01 (Burda et al., 2016). Of a posterior that is
    no product of known densities, only those are counted.

    References:
        | Isolating Sources of Disentanglement in Variational Autoencoders (Chen et al., 2018)
    """
    model, found, kept = trained.model, Averages(), list[Tensor]()
    if not model.posterior.stochastic:
        raise NotDefined(
            f"{type(model.posterior).__name__} puts all mass on one code, whose information is "
            "not finite."
        )
    every, seen = -(-len(inputs) // MOST), 0
    for pair in pairs(trained, inputs, settings.batch_size, "Information"):
        features = model.encoder(pair.x)
        found.add(code=model.posterior.code(features))
        kept.append(features[-seen % every :: every])
        seen += len(features)
    active = float((found.variance("code") > ACTIVE_VARIANCE).sum())
    figures = [Figure("active_units", active, f"of {model.latent}")]
    q = model.posterior(torch.cat(kept))
    if not (isinstance(q, Independent) and told_by_parameters(q.base_dist)):
        return figures
    return figures + parts_of_rate(q, model.prior, len(inputs), settings.seed)


def parts_of_rate(q: Product, prior: Prior, N: int, seed: int) -> list[Figure]:
    """Estimate mutual information, total correlation, and the elements' own divergences.

    Args:
        q: the posteriors of some of the examples, with batch (n,).
        prior: p(z).
        N: how many examples there are.
    """
    found = stratified(q, N, seed, prior())
    size = min(M, q.batch_shape[0])
    note = f"M = {size}, N = {N:,}, seed {seed}"
    figures = [
        found.figure("mutual_information", "nats", f"{note}; at most ln N = {math.log(N):.1f}"),
        found.figure("total_correlation", "nats", note),
    ]
    bias = stratified(shuffled(q, seed), N, seed, prior())
    says = f"{note}; codes shuffled, so that the truth is 0"
    figures.append(bias.figure("total_correlation", "nats", says)._replace(name=BIAS))
    return [*figures, found.figure("kl_of_elements", "nats", note)]


def stratified(q: Product, N: int, seed: int, p: Distribution) -> Averages:
    """Average the parts over batches of M examples at random; standard errors are over batches."""
    n, found = q.batch_shape[0], Averages()
    size, base = min(M, n), factors(q, "the aggregate posterior")
    order = torch.randperm(n, generator=generator_of(seed, n))
    own = torch.arange(size)
    log_w = TotalCorrelation().shares(own, size, max(N, size)).log()
    for rows in order[: n - n % size].split(size):
        part = Independent(rows_of(base, rows), 1)
        z = sample_by_index(part, 1, seed_of(seed, n), rows)  # (1, M, K)
        log_q = part.base_dist.log_prob(z[:, :, None])  # (1, M, M, K)
        log_joint, log_product = aggregate(log_q, log_w.to(log_q))
        found.add(
            mutual_information=(part.log_prob(z) - log_joint).mean(1),
            total_correlation=(log_joint - log_product).mean(1),
            kl_of_elements=(log_product - p.log_prob(z)).mean(1),
        )
    return found


def rows_of(base: Distribution, rows: Tensor) -> Distribution:
    """Those rows of a batch of distributions with parameters of one shape."""
    made: Any = {name: p[rows.to(p.device)] for name, p in parameters(base).items()}
    return type(base)(**made)


def parameters(base: Distribution) -> dict[str, Tensor]:
    """A distribution's parameters by name: those that it keeps, or else makes of what it keeps."""
    kept = [name for name in base.arg_constraints if name in base.__dict__]
    return {name: getattr(base, name) for name in kept or base.arg_constraints}


def told_by_parameters(base: Distribution) -> bool:
    """Whether parameters of the batch's shape are all that a distribution is made of."""
    others = signature(type(base)).parameters.keys() - base.arg_constraints - {"validate_args"}
    shapes = [p.shape for p in parameters(base).values()]
    return not others and bool(shapes) and all(shape == base.batch_shape for shape in shapes)


def shuffled(q: Product, seed: int) -> Product:
    """The posteriors with each element of the code taken from an example of its own."""
    base = q.base_dist
    n, K = base.batch_shape
    order = torch.stack(
        [torch.randperm(n, generator=generator_of(seed, k)) for k in range(K)], dim=1
    )
    made: Any = {name: p.gather(0, order.to(p.device)) for name, p in parameters(base).items()}
    return Independent(type(base)(**made), 1)
