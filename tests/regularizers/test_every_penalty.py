"""What every penalty keeps: shapes, weights, schedules, records."""

import copy

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import Tensor

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.parts import rebuild
from ae_lightning.core.types import Pair
from ae_lightning.nn import MLP, Sigmoid, UnitVariance
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from ae_lightning.regularizers import (
    L1,
    L2,
    MMD,
    Contractive,
    ContractiveHessian,
    DecoderNorm,
    GaussianKernel,
    Orthogonality,
    Rate,
    ReconstructionContractive,
    Regularizer,
    SparsityKL,
    StudentT,
    TotalCorrelation,
    WeightedTotalCorrelation,
)
from ae_lightning.schedules import Clock, Linear
from helpers.closeness import close
from helpers.penalties import B, batch_of, penalised
from helpers.training import fit

pytestmark = pytest.mark.filterwarnings("ignore::ae_lightning.regularizers.DegenerateObjective")
STOCHASTIC = {
    "rate": Rate,
    "rate_free_bits": lambda w: Rate(w, free_bits=0.01),
    "rate_capacity": lambda w: Rate(w, capacity=5.0),
    "total_correlation": lambda w: TotalCorrelation(w, dataset_size=100),
    "weighted_total_correlation": lambda w: WeightedTotalCorrelation(w, dataset_size=100),
}
PLUGINS = {
    "l1": lambda w: L1(w, scale=0.5),
    "student_t": lambda w: StudentT(w, df=2.0, scale=0.7),
    "l2": L2,
    "sparsity_kl": SparsityKL,
    "contractive": Contractive,
    "contractive_projected": lambda w: Contractive(w, projections=2),
    "reconstruction": lambda w: ReconstructionContractive(w, projections=None),
    "reconstruction_projected": ReconstructionContractive,
    "hessian": ContractiveHessian,
    "hessian_projected": lambda w: ContractiveHessian(w, projections=2),
    "mmd": MMD,
    "mmd_gaussian": lambda w: MMD(w, kernel=GaussianKernel(0.5)),
    "decoder_norm": DecoderNorm,
    "orthogonality": Orthogonality,
    **STOCHASTIC,
}
BATCH_ONLY = {"mmd", "mmd_gaussian", "total_correlation"}  # they tell an example from its copy


def model_with(name: str, weight=0.7) -> AutoEncoder:
    posterior = DiagonalGaussian() if name in STOCHASTIC else Dirac(Sigmoid())
    return penalised({name: PLUGINS[name](weight)}, posterior)


def doubled(pair: Pair) -> Pair:
    return Pair(*(torch.cat([t, t]) for t in pair))


@pytest.mark.parametrize("corrupted", [False, True])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", PLUGINS)
def test_raw_terms_and_weights_add_up_to_the_loss(name, training, corrupted) -> None:
    model = model_with(name).train(training)
    terms = model.objective(model.propagate(batch_of(corrupted=corrupted)))
    assert terms.keys() == {"loss", "distortion", name}
    assert terms["loss"].equal(terms["distortion"] + 0.7 * terms[name])


def test_many_terms_and_weights_add_up_to_the_loss() -> None:
    names = [n for n in PLUGINS if n != "sparsity_kl"]
    schedules = [Linear(0.1, 0.9, steps=10), 0.5, -0.2]
    regularizers = {n: PLUGINS[n](schedules[i % 3]) for i, n in enumerate(names)}
    model = penalised(regularizers, DiagonalGaussian())
    model.clock = Clock(step=5)
    terms = model.objective(model.propagate(batch_of()))
    total, weights = terms["distortion"], model.weights()
    assert weights["l1"] == 0.5
    for name in names:
        total = total + weights[name] * terms[name]
    assert terms["loss"].equal(total)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", PLUGINS)
def test_a_penalty_is_finite_and_per_example_or_of_the_batch(name, training) -> None:
    model = model_with(name).train(training)
    penalty = model.regularizers[name](model, model.propagate(batch_of()))
    assert penalty.shape in {(), (B,)}
    assert penalty.isfinite().all()


@pytest.mark.parametrize("name", PLUGINS)
def test_a_penalty_reaches_the_weights(name) -> None:
    model = model_with(name)
    penalty = model.regularizers[name](model, model.propagate(batch_of())).mean()
    gradients = torch.autograd.grad(penalty, list(model.parameters()), allow_unused=True)
    assert any(g is not None and g.abs().max() > 0 for g in gradients)
    assert all(g is None or g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("name", [name for name in PLUGINS if name not in BATCH_ONLY])
def test_doubling_the_batch_leaves_the_mean(name) -> None:
    model, pair = model_with(name).eval(), batch_of()
    regularizer = model.regularizers[name]
    once = regularizer(model, model.propagate(pair)).mean()
    twice = regularizer(model, model.propagate(doubled(pair))).mean()
    assert close(twice, once.item())


@pytest.mark.parametrize("name", PLUGINS)
def test_evaluation_is_repeatable_and_leaves_the_random_state(name) -> None:
    model = model_with(name).eval()
    out = model.propagate(batch_of())
    state = torch.get_rng_state()
    value = model.regularizers[name](model, out)
    assert torch.get_rng_state().equal(state)
    torch.rand(7)  # whatever was drawn before leaves no trace
    assert model.regularizers[name](model, out).equal(value)


@pytest.mark.parametrize("name", PLUGINS)
def test_what_is_watched_at_weight_0_leaves_the_random_state(name) -> None:
    model, terms = model_with(name, 0.0), {}
    out = model.propagate(batch_of())
    state = torch.get_rng_state()
    model.watch(terms, out)
    assert terms.keys() == {name}
    assert torch.get_rng_state().equal(state)


class Steadiness(Regularizer):
    """Encode once more, as a penalty of one's own may: in training, running statistics follow."""

    def forward(self, model, out) -> Tensor:
        return (model.code(out.x + 1) - out.z[0]).square().sum(1)


def test_what_is_watched_at_weight_0_leaves_running_statistics() -> None:
    encoder = MLP([7])
    model = penalised({"steady": Steadiness(0.0)}, Dirac(UnitVariance()), encoder=encoder)
    encoder.activation = torch.nn.BatchNorm1d(7).double()
    out, terms = model.propagate(batch_of()), {}
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.watch(terms, out)
    assert terms["steady"] > 0
    assert all(before[name].equal(buffer) for name, buffer in model.named_buffers())


def trained(regularizers, posterior, folder) -> list[Tensor]:
    model = penalised(regularizers, posterior)
    batches = [batch_of(corrupted=True)] * 3
    fit(model, batches, folder, max_steps=3, num_sanity_val_steps=0, limit_val_batches=0)
    return [*model.parameters(), *model.posterior.buffers()]


@pytest.mark.parametrize("posterior", [lambda: Dirac(Sigmoid()), DiagonalGaussian])
def test_weight_0_equals_absence_to_the_bit(posterior, tmp_path) -> None:
    stochastic = posterior().stochastic
    names = PLUGINS.keys() - ({"sparsity_kl"} if stochastic else STOCHASTIC.keys())
    absent = trained({}, posterior(), tmp_path)
    for name in sorted(names):
        present = trained({name: PLUGINS[name](0.0)}, posterior(), tmp_path)
        assert all(a.equal(b) for a, b in zip(absent, present, strict=True)), name
    moved = trained({"l2": L2(0.5)}, posterior(), tmp_path)
    assert not all(a.equal(b) for a, b in zip(absent, moved, strict=True))


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plug_in_is_rebuilt_from_its_record_and_copied(name) -> None:
    model, pair = model_with(name).eval(), batch_of()
    regularizer = model.regularizers[name]
    again = rebuild(regularizer.record)
    assert type(again) is type(regularizer)
    out = model.propagate(pair)
    assert again(model, out).equal(regularizer(model, out))
    assert copy.deepcopy(model).objective(out)["loss"].equal(model.objective(out)["loss"])


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plug_in_is_made_from_yaml(name) -> None:
    schedule = Linear(0, 2, steps=4)
    record = PLUGINS[name](schedule).record
    parser = ArgumentParser()
    parser.add_argument("--regularizers", type=dict[str, Regularizer])
    given = parser.parse_object({"regularizers": {name: record}})
    [regularizer] = parser.instantiate_classes(given).regularizers.values()
    assert regularizer.record == record
    assert regularizer.weight_at(Clock(step=1)) == 0.5
    assert len(regularizer.schedules) == 1
