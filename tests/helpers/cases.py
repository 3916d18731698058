"""One model of every system, penalty and part, so small that all are trained again and again."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.optim import SGD

from ae_lightning import AutoEncoder, likelihoods, priors, regularizers, schedules, systems
from ae_lightning.nn import (
    MLP,
    ConvDecoder,
    ConvEncoder,
    ResidualDecoder,
    ResidualEncoder,
    Sigmoid,
    TopK,
    UnitVariance,
)
from ae_lightning.posteriors import Dirac

SHAPE, K = (1, 4, 4), 3


def small(system: type[AutoEncoder], **parts: Any) -> AutoEncoder:
    """A small model, whose every size differs from the batches': rows are then told by size.

    Its learning rate is the same however long it will be trained.
    """
    torch.manual_seed(0)
    if system not in (systems.LinearAutoEncoder, systems.SparseAutoEncoder):
        parts = {"encoder": MLP(widths=(7,)), **parts}
        if system is not systems.ContractiveAutoEncoder:
            parts = {"decoder": MLP(widths=(7,)), **parts}
    parts = {"lr_schedule": schedules.Constant(), **parts}
    return system(SHAPE, latent=K, optimizer=partial(SGD, lr=0.003, momentum=0.9), **parts)


def vae(**parts: Any) -> AutoEncoder:
    return small(systems.VariationalAutoEncoder, **parts)


def penalised(system: type[AutoEncoder], name: str, *args: Any, **options: Any) -> AutoEncoder:
    penalty = getattr(regularizers, name)(*args, **options)
    activation = {"activation": Sigmoid()} if name == "SparsityKL" else {}
    samples = {"samples": 2} if system is systems.VariationalAutoEncoder else {}
    return small(system, regularizers={"rate": penalty}, **activation, **samples)


def normalised() -> AutoEncoder:
    torch.manual_seed(0)
    return AutoEncoder(
        *(SHAPE, K, MLP(widths=(7,)), Dirac(UnitVariance()), MLP(widths=(7,))),
        likelihoods.Gaussian(),
        regularizers={"contractive": regularizers.Contractive(0.5)},
        optimizer=partial(SGD, lr=0.003),
        lr_schedule=schedules.Constant(),
    )


def convolutional() -> AutoEncoder:
    return vae(
        encoder=ConvEncoder(channels=(2, 3), hidden=7),
        decoder=ConvDecoder(channels=(3, 2), hidden=7),
    )


def residual(spatial: bool, **options: Any) -> AutoEncoder:
    return vae(
        encoder=ResidualEncoder(width=6, spatial=spatial, **options),
        decoder=ResidualDecoder(width=6, **options),
    )


SYSTEMS = {
    name: partial(small, system)
    for name, system in vars(systems).items()
    if isinstance(system, type)
    and issubclass(system, AutoEncoder)
    and system not in (AutoEncoder, systems.System)
}
SPARSE, CONTRACTIVE = systems.SparseAutoEncoder, systems.ContractiveAutoEncoder
PLAIN, VARIATIONAL = systems.UndercompleteAutoEncoder, systems.VariationalAutoEncoder
RISING = {"start": 0.0, "end": 1.0, "steps": 4}

PENALTIES: dict[str, Callable[[], AutoEncoder]] = {
    "L1": lambda: penalised(VARIATIONAL, "L1", 0.3),
    "L2": lambda: penalised(VARIATIONAL, "L2", 0.3),
    "StudentT": lambda: penalised(VARIATIONAL, "StudentT", 0.3),
    "SparsityKL": lambda: penalised(SPARSE, "SparsityKL"),
    "MMD": lambda: penalised(VARIATIONAL, "MMD", 3.0),
    "MMD, one code": lambda: penalised(PLAIN, "MMD", 3.0),
    "Rate": lambda: penalised(VARIATIONAL, "Rate", schedules.Cosine(0, 4)),
    "Rate, free bits": lambda: penalised(VARIATIONAL, "Rate", free_bits=0.01),
    "Rate, capacity": lambda: penalised(
        VARIATIONAL, "Rate", capacity=schedules.Linear(0, 2, steps=5)
    ),
    "TotalCorrelation": lambda: penalised(VARIATIONAL, "TotalCorrelation", 2.0),
    "WeightedTotalCorrelation": lambda: penalised(VARIATIONAL, "WeightedTotalCorrelation", 2.0),
    "Walkback": lambda: penalised(PLAIN, "Walkback", 0.3),
    "Contractive": lambda: penalised(CONTRACTIVE, "Contractive"),
    "Contractive, projected": lambda: penalised(CONTRACTIVE, "Contractive", projections=2),
    "ContractiveHessian": lambda: penalised(CONTRACTIVE, "ContractiveHessian", 0.3),
    "ContractiveHessian, projected": lambda: penalised(
        CONTRACTIVE, "ContractiveHessian", 0.3, projections=2
    ),
    "ReconstructionContractive": lambda: penalised(PLAIN, "ReconstructionContractive", 0.3),
    "ReconstructionContractive, exact": lambda: penalised(
        PLAIN, "ReconstructionContractive", 0.3, projections=None
    ),
    "DecoderNorm": lambda: penalised(PLAIN, "DecoderNorm", 0.1),
    "Orthogonality": lambda: penalised(PLAIN, "Orthogonality", 0.1),
}

PARTS: dict[str, Callable[[], AutoEncoder]] = {
    "HeteroscedasticGaussian": lambda: vae(likelihood=likelihoods.HeteroscedasticGaussian()),
    "Laplace": lambda: vae(likelihood=likelihoods.Laplace(), prior=priors.LaplacePrior()),
    "Bernoulli": lambda: vae(likelihood=likelihoods.Bernoulli()),
    "ContinuousBernoulli": lambda: vae(likelihood=likelihoods.ContinuousBernoulli()),
    "Categorical": lambda: vae(likelihood=likelihoods.Categorical(levels=4)),
    "GaussianMixture": lambda: vae(prior=priors.GaussianMixture(components=4)),
    "VampPrior": lambda: vae(prior=priors.VampPrior(components=4)),
    "NormalPrior": lambda: vae(prior=priors.NormalPrior(2.0)),
    "ExponentialPrior": lambda: small(PLAIN, prior=priors.ExponentialPrior()),
    "convolutions": convolutional,
    "residual": lambda: residual(False, attention=True, recompute=True),
    "residual, in place": lambda: residual(True, halvings=2),
    "dropout": lambda: small(PLAIN, encoder=MLP(widths=(7,), dropout=0.3)),
    "UnitVariance": normalised,
    "TopK": lambda: small(SPARSE, activation=TopK(2)),
}

# A learned prior has no gradient while nothing uses it.
RESTING: dict[str, Callable[[], AutoEncoder]] = {
    "a learned prior of weight 0": lambda: vae(
        prior=priors.GaussianMixture(components=4),
        regularizers={"rate": regularizers.Rate(0.0)},
    ),
    "a learned prior, sampled only": lambda: small(
        PLAIN,
        prior=priors.GaussianMixture(components=4),
        regularizers={"mmd": regularizers.MMD(3.0)},
    ),
    "a learned prior, used from the second step on": lambda: vae(
        prior=priors.VampPrior(components=4),
        regularizers={"rate": regularizers.Rate(schedules.Linear(**RISING))},
    ),
    "a learned prior, used at every other step": lambda: vae(
        prior=priors.GaussianMixture(components=4),
        regularizers={"rate": regularizers.Rate(schedules.Cyclic(cycles=2, rise=1.0))},
    ),
}

RESUMED = "TotalCorrelation"  # its weight is the same with any number of epochs
CASES = SYSTEMS | PENALTIES | PARTS | RESTING
