"""Evaluation: every figure is that of the whole set, however it is cut."""

import math

import pytest
import torch
from torch import distributions as td
from torchmetrics.functional.image import structural_similarity_index_measure

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.corruptions import Dequantise
from ae_lightning.likelihoods import Bernoulli, Categorical, Gaussian
from ae_lightning.metrics import (
    ACTIVE_VARIANCE,
    Evaluation,
    bits_per_dimension,
    merge_moments,
    psnr,
    ssim,
)
from ae_lightning.nn import MLP
from ae_lightning.priors import GaussianMixture
from ae_lightning.regularizers.divergences import Rate
from ae_lightning.systems import ContractiveAutoEncoder, SparseAutoEncoder, VariationalAutoEncoder

SHAPE = (1, 12, 12)
MODELS = {
    "vae": lambda: VariationalAutoEncoder(
        SHAPE,
        3,
        encoder=MLP([9]),
        decoder=MLP([9]),
        likelihood=Bernoulli(),
        samples=2,
        regularizers={"rate": Rate(4.0)},
    ),
    "mixture": lambda: VariationalAutoEncoder(
        SHAPE, 3, encoder=MLP([9]), decoder=MLP([9]), prior=GaussianMixture(2)
    ),
    "sparse": lambda: SparseAutoEncoder(SHAPE, 6),
    "contractive": lambda: ContractiveAutoEncoder(SHAPE, 4),
    "unbounded": lambda: VariationalAutoEncoder(
        SHAPE, 3, encoder=MLP([9]), decoder=MLP([9]), likelihood=Gaussian(), value_range=None
    ),
    "signed": lambda: VariationalAutoEncoder(
        SHAPE, 3, encoder=MLP([9]), decoder=MLP([9]), likelihood=Gaussian(), value_range=(-1, 1)
    ),
}
models = pytest.mark.parametrize("kind", MODELS)


def one_unit_dead(kind: str) -> AutoEncoder:
    torch.manual_seed(1)
    model = MODELS[kind]().double().eval()
    last = model.encoder.layers[-1]
    with torch.no_grad():  # one unit dead, the others spread wide enough to be active
        last.weight.mul_(3)[0] = 0
        last.bias[0] = 0
        last.bias[1] -= 5  # a unit that is negative throughout
    return model


def pairs(n: int = 50) -> Pair:
    x = torch.rand(n, *SHAPE, dtype=torch.float64)
    x_tilde = x + 0.1 * torch.randn_like(x)
    return Pair(x_tilde, x, torch.zeros(n), torch.randperm(1000)[:n])


def evaluated(model, pair, sizes, metric=None) -> Evaluation:
    """Update with the pair, cut into batches of these sizes."""
    metric = metric or Evaluation(
        model.latent, ("loss", "distortion", *model.regularizers), model.value_range
    )
    for batch in zip(*(t.split(sizes) for t in pair), strict=True):
        out = model.propagate(Pair(*batch))
        metric.update(model, out, model.objective(out))
    return metric


def equal(a: dict, b: dict, tolerance=1e-10):
    assert a.keys() == b.keys()
    for name in a:
        assert abs(a[name] - b[name]) <= tolerance * (1 + abs(b[name])), name


@torch.no_grad()
def direct(model, pair) -> dict:
    """Every figure, computed at once on the whole set, as its definition reads."""
    out = model.propagate(pair)
    q, x = out.q, pair.x
    code = q.mean
    r = model.decode(code).mean
    figures = {name: term.detach() for name, term in model.objective(out).items()}
    figures["distortion"] = -out.p.log_prob(x).mean()
    figures["mse"] = (r - x).square().mean()
    figures["mse_corrupted"] = (pair.x_tilde - x).square().mean()
    if model.value_range is not None:
        extent = model.value_range[1] - model.value_range[0]
        figures["psnr"] = 10 * math.log10(extent**2 / figures["mse"])
        figures["ssim"] = structural_similarity_index_measure(r, x, data_range=float(extent))
    figures["l0"] = (code.abs() > 1e-3).double().sum() / len(x)
    figures["dead_units"] = (code.abs() <= 1e-3).all(0).sum()
    if model.posterior.stochastic:
        p = model.prior()
        if isinstance(p, td.Independent):
            rates = td.kl_divergence(q.base_dist, p.base_dist).mean(0)
            figures |= {f"rate_{k}": rate for k, rate in enumerate(rates)}
            figures["rate"] = rates.sum()
        else:
            figures["rate"] = (q.log_prob(out.z) - p.log_prob(out.z)).mean()
        figures["kl"] = figures["rate"]
        figures["elbo"] = -(figures["distortion"] + figures["rate"])
        figures["active_units"] = (code.var(0, unbiased=False) > 0.01).sum()
    if "contractive" in model.regularizers:
        with torch.enable_grad():
            J = torch.autograd.functional.jacobian(lambda x: model.code(x).sum(0), x)  # (K, N, *S)
        figures["jacobian"] = J.square().sum() / len(x)
    return figures


def test_there_is_something_to_count():
    figures = direct(one_unit_dead("vae"), pairs())
    assert (figures["active_units"], figures["dead_units"]) == (2, 1)


# --------------------------------------------------------- exact however it is cut


@models
@pytest.mark.parametrize("sizes", [[50], [17, 1, 32], [8] * 6 + [2]], ids=str)
def test_every_figure_is_that_of_the_whole_set_in_uneven_batches(kind, sizes):
    model, pair = one_unit_dead(kind), pairs()
    equal(evaluated(model, pair, sizes).compute(), direct(model, pair))


def merged(metrics: list[Evaluation]) -> Evaluation:
    """What synchronising across processes does: stack each state, and reduce it."""
    whole = Evaluation(3, (), metrics[0].value_range)
    whole.names = metrics[0].names
    for state, reduce in metrics[0]._reductions.items():
        stacked = torch.stack([getattr(m, state).double() for m in metrics])
        setattr(whole, state, reduce(stacked))
    whole._update_count = 1
    return whole


@models
@pytest.mark.parametrize("shards", [[20, 30], [1, 17, 32], [0, 50], [25, 0, 25]], ids=str)
def test_shards_of_any_sizes_merge_to_the_whole_an_empty_one_included(kind, shards):
    model, pair = one_unit_dead(kind), pairs()
    parts = zip(*(t.split(shards) for t in pair), strict=True)
    metrics = [evaluated(model, Pair(*p), [len(p[0])] if len(p[0]) else []) for p in parts]
    equal(merged(metrics).compute(), direct(model, pair))


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_a_reset_forgets_and_nothing_has_no_figures():
    model = one_unit_dead("vae")
    metric = evaluated(model, pairs(20), [20])
    metric.reset()
    assert metric.compute() == {}
    pair = pairs(9)
    equal(evaluated(model, pair, [4, 5], metric).compute(), direct(model, pair))


def test_clean_pairs_have_no_corrupted_error():
    model, pair = one_unit_dead("vae"), pairs(9)
    clean = evaluated(model, pair._replace(x_tilde=pair.x.clone()), [9]).compute()
    assert "mse_corrupted" not in clean


def test_a_single_precision_model_is_evaluated_to_single_precision():
    model, pair = one_unit_dead("vae"), pairs()
    exact = evaluated(model, pair, [50]).compute()
    single = evaluated(model.float(), Pair(*(t.float() for t in pair[:3]), pair.places), [17, 33])
    equal(single.compute(), exact, 1e-4)


def test_a_half_precision_run_is_evaluated_in_single_precision():
    model, pair = one_unit_dead("vae").float(), pairs()
    pair = Pair(*(t.float() for t in pair[:3]), pair.places)
    exact = evaluated(model, pair, [50]).compute()
    with torch.autocast("cpu", torch.bfloat16):
        half = evaluated(model, pair, [50]).compute()
    assert {v.dtype for v in half.values()} == {torch.float32}
    equal(half, exact, 0.05)


def test_the_jacobian_norm_is_measured_under_inference_mode():
    model, pair = one_unit_dead("contractive"), pairs(9)
    metric = Evaluation(model.latent, (), model.value_range)
    with torch.inference_mode():
        inference = Pair(*(t.clone() for t in pair))
        metric.update(model, model.propagate(inference), {})
    assert abs(metric.compute()["jacobian"] - direct(model, pair)["jacobian"]) < 1e-10


# ------------------------------------------------------------------ single figures


def test_the_elbo_has_weight_one_whatever_the_weight_trained_with():
    model, pair = one_unit_dead("vae"), pairs()
    values = evaluated(model, pair, [50]).compute()
    assert abs(values["elbo"] + values["distortion"] + values["rate"]) < 1e-10
    assert abs(values["loss"] - values["distortion"] - 4 * values["rate"]) < 1e-10


def test_terms_add_up_to_the_loss_under_their_own_names_whatever_free_bits_make_of_the_rate():
    model = VariationalAutoEncoder(
        SHAPE, 3, encoder=MLP([9]), decoder=MLP([9]), regularizers={"rate": Rate(free_bits=5.0)}
    ).double()
    values = evaluated(model.eval(), pairs(), [50]).compute()
    assert abs(values["rate"] - 15) < 1e-10
    assert abs(values["loss"] - values["distortion"] - values["rate"]) < 1e-10
    assert abs(values["kl"] - sum(values[f"rate_{k}"] for k in range(3))) < 1e-10
    assert values["kl"] < 15
    assert abs(values["elbo"] + values["distortion"] + values["kl"]) < 1e-10


def test_a_unit_is_dead_only_where_it_is_on_every_shard():
    metrics = [Evaluation(3, ("loss",)) for _ in range(2)]
    for metric, largest in zip(metrics, ([0.0008, 0.0, 0.5], [0.0008, 0.0011, 0.0]), strict=True):
        metric.largest, metric.counts = torch.tensor(largest), metric.counts + 1
    assert merged(metrics).compute()["dead_units"] == 1


def test_psnr_is_that_of_the_mean_error_not_the_mean_of_psnrs():
    assert psnr(torch.tensor(0.01)) == 20
    assert psnr(torch.tensor(0.04), (-1.0, 1.0)) == 20
    model, pair = one_unit_dead("vae"), pairs()
    values = evaluated(model, pair, [1] * 50).compute()
    assert abs(values["psnr"] - psnr(values["mse"])) < 1e-10


@pytest.mark.parametrize("shape", [(4, 1, 28, 28), (4, 3, 32, 40), (4, 1, 11, 11)], ids=str)
@pytest.mark.parametrize("value_range", [(0, 1), (-1, 1)], ids=str)
def test_ssim_is_torchmetrics_own(shape, value_range):
    x = torch.rand(shape, dtype=torch.float64)
    for y in (x + 0.1 * torch.randn_like(x), torch.rand_like(x), torch.zeros_like(x), x):
        extent = float(value_range[1] - value_range[0])
        theirs = structural_similarity_index_measure(x, y, reduction="none", data_range=extent)
        assert (ssim(x, y, value_range) - theirs).abs().max() < 1e-10
        with torch.autocast("cpu", torch.bfloat16):
            single = ssim(x.float(), y.float(), value_range)
        assert (single - theirs).abs().max() < 1e-4


def test_small_images_have_no_ssim():
    model = VariationalAutoEncoder((1, 8, 8), 2, encoder=MLP([4]), decoder=MLP([4])).eval()
    x = torch.rand(3, 1, 8, 8)
    values = evaluated(model, Pair(x, x, torch.zeros(3), torch.arange(3)), [3]).compute()
    assert "ssim" not in values
    assert "psnr" in values


def test_active_units_have_a_variance_above_burda_s_even_about_a_large_mean():
    code = 1e4 + torch.randn(5000, 2, dtype=torch.float64) * torch.tensor([0.11, 0.09]).double()
    variance = code.float().double().var(0, unbiased=False)
    assert variance[0] > ACTIVE_VARIANCE > variance[1]
    moments = torch.zeros(3, 2)
    for batch in code.float().split(128):  # single precision throughout
        M = (batch - batch.mean(0)).square().sum(0)
        part = torch.stack([torch.full((2,), float(len(batch))), batch.mean(0), M])
        moments = merge_moments(torch.stack([moments, part]))
    assert (moments[2] / moments[0] / variance - 1).abs().max() < 0.01
    naive = code.float().square().mean(0) - code.float().mean(0).square()
    assert ((naive - variance).abs() > 0.1).any()  # what it is there against


def test_bits_per_dimension_of_bytes():
    D = 3072
    uniform_density = torch.zeros(())  # log 1 on [0, 1]^D
    assert bits_per_dimension(uniform_density, D) == 8
    halved = torch.tensor(D * math.log(2))  # in every dimension: one bit more
    assert bits_per_dimension(halved, D).item() == pytest.approx(9, rel=1e-6)
    doubled = bits_per_dimension(torch.tensor(2 * 100.0), 2 * D)
    assert doubled == bits_per_dimension(torch.tensor(100.0), D)
    likelihood = Categorical()  # of bytes already: the same 8 bits, with none to add
    likelihood.build((D,))
    nll = -likelihood(torch.zeros(1, 256 * D)).log_prob(torch.rand(1, D))
    assert (nll / (D * math.log(2))).item() == pytest.approx(8, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bytes_have_no_bits_per_dimension_until_they_are_dequantised(dtype):
    stored = torch.randint(256, (4, 3, 8, 8)).to(dtype) / 255
    with pytest.raises(UsageError, match="these images are bytes, which have no density"):
        bits_per_dimension(torch.zeros(4), stored)
    assert bits_per_dimension(torch.zeros(()), Dequantise()(stored)) == 8


def test_psnr_of_the_set_is_below_the_mean_of_the_images_own():
    mse = torch.tensor([0.01, 0.04])
    assert psnr(mse.mean()) < psnr(mse).mean()
