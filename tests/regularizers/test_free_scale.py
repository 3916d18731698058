"""The guard against a free scale, by the very rescaling that it warns of."""

import copy
import itertools
import math
import random
import warnings

import pytest
import torch

from ae_lightning import systems
from ae_lightning.nn import MLP, TiedMLP, TopK, UnitNorm, UnitVariance
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from ae_lightning.priors import GaussianMixture
from ae_lightning.regularizers import (
    L1,
    L2,
    MMD,
    Contractive,
    DecoderNorm,
    DegenerateObjective,
    Orthogonality,
    Rate,
    StudentT,
)
from ae_lightning.schedules import Linear
from helpers.penalties import batch_of, penalised

C = 1e-3  # what the code is multiplied by


def rescaled(model):
    """f and g with C·f and g(·/C) in their place, as far as the decoder's form allows."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        last, mu = model.encoder.layers[-1], slice(model.latent)
        last.weight[mu] *= C
        last.bias[mu] *= C
        if isinstance(model.posterior, DiagonalGaussian) and model.posterior.sigma is None:
            last.bias[model.latent :] += math.log(C)  # of log σ
        for prior in [model.prior] if isinstance(model.prior, GaussianMixture) else []:
            prior.means *= C
            prior.log_sigmas += math.log(C)
        if isinstance(model.decoder, MLP):
            scaled = iter(model.decoder.layers)
            if model.decoder.unit_columns or any(
                isinstance(r, Orthogonality) for r in model.regularizers.values()
            ):
                next(scaled).bias *= C
            if (layer := next(scaled, None)) is not None:
                layer.weight /= C
    return model


def figures(model) -> tuple[float, dict[str, float]]:
    """The distortion, and every weighted penalty, of the same noise."""
    torch.manual_seed(0)
    with torch.no_grad():
        terms = model.objective(model.propagate(batch_of()))
    weights = model.weights()
    return float(terms["distortion"]), {k: w * float(terms.get(k, 0)) for k, w in weights.items()}


def is_free(model) -> bool:
    """Whether the rescaled model has the same distortion, a smaller penalty, and no larger one."""
    (D, before), (same, after) = figures(model), figures(rescaled(model))
    paid = any(after[k] > before[k] + 1e-9 for k in before)
    return abs(same - D) < 1e-6 * D and after["small"] < 0.1 * before["small"] and not paid


def warns(make) -> tuple[bool, object]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = make()
    return any("for free" in str(w.message) for w in caught), model


POSTERIORS = (
    Dirac,
    lambda: Dirac(TopK(2)),
    lambda: Dirac(UnitNorm()),
    lambda: Dirac(UnitVariance()),
    DiagonalGaussian,
    lambda: DiagonalGaussian(0.1),
)
DECODERS = (
    lambda: MLP([]),
    lambda: MLP([7], "ReLU"),
    lambda: MLP([], unit_columns=True),
    lambda: MLP([7], "ReLU", unit_columns=True),
    TiedMLP,
)
OTHERS = (
    dict,
    lambda: {"norm": DecoderNorm(0.1)},
    lambda: {"norm": DecoderNorm(0.0)},
    lambda: {"orthogonal": Orthogonality(0.1)},
    lambda: {"rate": Rate(0.5)},
    lambda: {"rate": Rate(0.0)},
    lambda: {"rate": Rate(Linear(1.0, 0.0, steps=9))},
    lambda: {"mmd": MMD(2.0)},
)
PENALTIES = (L1, L2, StudentT, Contractive)
PRIORS = (lambda: None, GaussianMixture)
ALL = [
    parts
    for parts in itertools.product(PENALTIES, POSTERIORS, DECODERS, OTHERS, PRIORS)
    # A Rate needs a stochastic posterior, and a tied decoder mirrors the code alone.
    if not (parts[1] in POSTERIORS[:4] and "rate" in parts[3]())
    and not (parts[1] is DiagonalGaussian and parts[2] is TiedMLP)
]
PRESETS = (
    *(systems.LinearAutoEncoder, systems.UndercompleteAutoEncoder, systems.SparseAutoEncoder),
    *(systems.ContractiveAutoEncoder, systems.DenoisingAutoEncoder, systems.StochasticAutoEncoder),
    *(systems.VariationalAutoEncoder, systems.ImportanceWeightedAutoEncoder),
)


@pytest.mark.parametrize("parts", random.Random(0).sample(ALL, 150))
def test_it_warns_exactly_where_a_smaller_code_costs_less(parts) -> None:
    penalty, posterior, decoder, others, prior = parts

    def make():
        regularizers = {"small": penalty(0.3), **others()}
        return penalised(
            regularizers, posterior(), decoder=decoder(), prior=prior(), encoder=MLP([])
        )

    warned, model = warns(make)
    # At the end of training, a weight that falls to 0 is 0.
    model.clock = model.clock._replace(step=9)
    assert warned == is_free(model)


@pytest.mark.parametrize("kind", PRESETS)
def test_no_preset_warns(kind) -> None:
    assert not warns(lambda: kind((1, 8, 8)))[0]


def test_an_importance_weighted_bound_holds_the_scale() -> None:
    warned, _ = warns(
        lambda: systems.ImportanceWeightedAutoEncoder((1, 8, 8), regularizers={"l1": L1(0.1)})
    )
    assert not warned


def test_a_warning_is_of_its_own_kind() -> None:
    with pytest.warns(DegenerateObjective, match="can be lowered for free"):
        penalised({"l1": L1()}, Dirac())
