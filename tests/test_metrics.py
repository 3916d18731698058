"""Evaluation: every figure is that of the whole set, however it is cut; log p(x) from below."""

import math
from itertools import pairwise

import pytest
import torch
from torch import distributions as td
from torchmetrics.functional.image import structural_similarity_index_measure

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.evidence import log_likelihood
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
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from ae_lightning.priors import GaussianMixture, LaplacePrior, StandardNormal, VampPrior
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


def model_of(kind: str) -> AutoEncoder:
    torch.manual_seed(1)
    model = MODELS[kind]().double().eval()
    last = model.encoder.layers[-1]
    with torch.no_grad():  # one unit dead, the others spread wide enough to be active
        last.weight.mul_(3)[0] = 0
        last.bias[0] = 0
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
        figures["elbo"] = -(figures["distortion"] + figures["rate"])
        figures["active_units"] = (code.var(0, unbiased=False) > 0.01).sum()
    if "contractive" in model.regularizers:
        with torch.enable_grad():
            J = torch.autograd.functional.jacobian(lambda x: model.code(x).sum(0), x)  # (K, N, *S)
        figures["jacobian"] = J.square().sum() / len(x)
    return figures


def test_there_is_something_to_count():
    figures = direct(model_of("vae"), pairs())
    assert (figures["active_units"], figures["dead_units"]) == (2, 1)


# ------------------------------------------------------------------ exact however it is cut


@models
@pytest.mark.parametrize("sizes", [[50], [17, 1, 32], [8] * 6 + [2]], ids=str)
def test_every_figure_is_that_of_the_whole_set_in_uneven_batches(kind, sizes):
    model, pair = model_of(kind), pairs()
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
    model, pair = model_of(kind), pairs()
    parts = zip(*(t.split(shards) for t in pair), strict=True)
    metrics = [evaluated(model, Pair(*p), [len(p[0])] if len(p[0]) else []) for p in parts]
    equal(merged(metrics).compute(), direct(model, pair))


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_a_reset_forgets_and_nothing_has_no_figures():
    model = model_of("vae")
    metric = evaluated(model, pairs(20), [20])
    metric.reset()
    assert metric.compute() == {}
    pair = pairs(9)
    equal(evaluated(model, pair, [4, 5], metric).compute(), direct(model, pair))


def test_clean_pairs_have_no_corrupted_error():
    model, pair = model_of("vae"), pairs(9)
    clean = evaluated(model, pair._replace(x_tilde=pair.x.clone()), [9]).compute()
    assert "mse_corrupted" not in clean


def test_a_single_precision_model_is_evaluated_to_single_precision():
    model, pair = model_of("vae"), pairs()
    exact = evaluated(model, pair, [50]).compute()
    single = evaluated(model.float(), Pair(*(t.float() for t in pair[:3]), pair.places), [17, 33])
    equal(single.compute(), exact, 1e-4)


def test_a_half_precision_run_is_evaluated_in_single_precision():
    model, pair = model_of("vae").float(), pairs()
    pair = Pair(*(t.float() for t in pair[:3]), pair.places)
    exact = evaluated(model, pair, [50]).compute()
    with torch.autocast("cpu", torch.bfloat16):
        half = evaluated(model, pair, [50]).compute()
    assert {v.dtype for v in half.values()} == {torch.float32}
    equal(half, exact, 0.05)


def test_the_jacobian_norm_is_measured_under_inference_mode():
    model, pair = model_of("contractive"), pairs(9)
    metric = Evaluation(model.latent, (), model.value_range)
    with torch.inference_mode():
        inference = Pair(*(t.clone() for t in pair))
        metric.update(model, model.propagate(inference), {})
    assert abs(metric.compute()["jacobian"] - direct(model, pair)["jacobian"]) < 1e-10


# ------------------------------------------------------------------ single figures


def test_the_elbo_has_weight_one_whatever_the_weight_trained_with():
    model, pair = model_of("vae"), pairs()
    values = evaluated(model, pair, [50]).compute()
    assert abs(values["elbo"] + values["distortion"] + values["rate"]) < 1e-10
    assert abs(values["loss"] - values["distortion"] - 4 * values["rate"]) < 1e-10


def test_the_rate_is_the_divergence_whatever_a_penalty_of_that_name_makes_of_it():
    model = VariationalAutoEncoder(
        SHAPE, 3, encoder=MLP([9]), decoder=MLP([9]), regularizers={"rate": Rate(free_bits=5.0)}
    ).double()
    values = evaluated(model.eval(), pairs(), [50]).compute()
    assert abs(values["rate"] - sum(values[f"rate_{k}"] for k in range(3))) < 1e-10
    assert values["rate"] < 15
    assert abs(values["loss"] - values["distortion"] - 15) < 1e-10


def test_a_unit_is_dead_only_where_it_is_on_every_shard():
    metrics = [Evaluation(3, ("loss",)) for _ in range(2)]
    for metric, largest in zip(metrics, ([0.0008, 0.0, 0.5], [0.0008, 0.0011, 0.0]), strict=True):
        metric.largest, metric.counts = torch.tensor(largest), metric.counts + 1
    assert merged(metrics).compute()["dead_units"] == 1


def test_psnr_is_that_of_the_mean_error_not_the_mean_of_psnrs():
    assert psnr(torch.tensor(0.01)) == 20
    assert psnr(torch.tensor(0.04), (-1.0, 1.0)) == 20
    model, pair = model_of("vae"), pairs()
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
    doubled = bits_per_dimension(torch.tensor(2 * 100.0), 2 * D)
    assert doubled == bits_per_dimension(torch.tensor(100.0), D)
    likelihood = Categorical()  # of bytes already: the same 8 bits, with none to add
    likelihood.build((D,))
    nll = -likelihood(torch.zeros(1, 256 * D)).log_prob(torch.rand(1, D))
    assert (nll / (D * math.log(2))).item() == pytest.approx(8, rel=1e-5)


# ------------------------------------------------------------------ probabilistic PCA


class ProbabilisticPCA:
    """x = W z + b + σ ε with z ~ N(0, I): an autoencoder whose log p(x) and p(z|x) are known."""

    def __init__(self, D: int = 7, K: int = 3, sigma: float = 0.6) -> None:
        self.model = AutoEncoder(
            shape=(D,),
            latent=K,
            encoder=MLP([]),
            posterior=DiagonalGaussian(),
            decoder=MLP([]),
            likelihood=Gaussian(sigma),
            value_range=None,
        )
        self.model.double().eval()
        self.W = torch.linalg.qr(torch.randn(D, K).double())[0] * torch.tensor([2.0, 1.0, 0.5])
        self.b = torch.randn(D).double()
        # W has orthogonal columns, so that the posterior is a diagonal Gaussian: N(A(x − b), S).
        self.S = 1 / (1 + self.W.square().sum(0) / sigma**2)  # (K,)
        self.A = self.S[:, None] * self.W.T / sigma**2
        I = torch.eye(D, dtype=torch.float64)
        self.marginal = td.MultivariateNormal(self.b, self.W @ self.W.T + sigma**2 * I)
        decoder, encoder = self.model.decoder.layers[0], self.model.encoder.layers[0]
        with torch.no_grad():
            decoder.weight.copy_(self.W)
            decoder.bias.copy_(self.b)
            encoder.weight.copy_(torch.cat([self.A, torch.zeros_like(self.A)]))
            encoder.bias.copy_(torch.cat([-self.A @ self.b, self.S.log() / 2]))

    def exact_posterior(self, x):
        return td.Independent(td.Normal((x - self.b) @ self.A.T, self.S.sqrt()), 1)

    def spoil_encoder(self):
        """Make q another than the true posterior."""
        with torch.no_grad():
            for parameter in self.model.encoder.parameters():
                parameter += 0.1 * torch.randn_like(parameter)


def test_the_elbo_is_below_log_p_by_the_divergence_from_the_true_posterior():
    pca = ProbabilisticPCA()
    pca.spoil_encoder()
    x = pca.marginal.sample((20,))
    q, model = pca.model.encode(x), pca.model
    # log p(x|z) is quadratic in z: the mean over these 2K points is the expectation, exactly.
    e = torch.eye(3, dtype=torch.float64) * math.sqrt(3)
    points = q.mean + q.stddev * torch.cat([e, -e])[:, None]  # (2K, B, K)
    distortion = -model.decode(points).log_prob(x).mean(0)
    elbo = -(distortion + td.kl_divergence(q, model.prior()))
    gap = elbo - pca.marginal.log_prob(x)
    assert (gap + td.kl_divergence(q, pca.exact_posterior(x))).abs().max() < 1e-10
    assert gap.max() < -1e-3


@pytest.mark.parametrize(("samples", "rows"), [(1, 100), (7, 100), (50, 20), (60, 20)])
def test_with_the_true_posterior_any_samples_are_log_p_without_variance(samples, rows):
    pca = ProbabilisticPCA()
    x = pca.marginal.sample((20,))
    for seed in range(3):
        estimate = log_likelihood(pca.model, x, samples, seed=seed, rows=rows)
        assert (estimate - pca.marginal.log_prob(x)).abs().max() < 1e-10


def test_importance_weighted_bounds_rise_with_their_samples_and_stay_below_log_p():
    pca = ProbabilisticPCA()
    pca.spoil_encoder()
    repeats = 20_000
    x = pca.marginal.sample((1,)).expand(repeats, -1)
    log_p = pca.marginal.log_prob(x[0])
    bounds = [(1, 1), (5, 1), (25, 1), (125, 4)]
    means, errors = [], []
    for samples, fewer in bounds:
        n = repeats // fewer
        estimate = log_likelihood(pca.model, x[:n], samples=samples, seed=samples)
        means.append(estimate.mean().item())
        errors.append((estimate.std() / n**0.5).item())
    for (low, high), (e_low, e_high) in zip(pairwise(means), pairwise(errors), strict=True):
        assert low <= high + 3 * math.hypot(e_low, e_high)
    assert means[1] - means[0] > 10 * errors[0]  # these are no ties
    assert all(m <= log_p + 3 * e for m, e in zip(means, errors, strict=True))
    assert log_p - means[-1] < 0.05 * (log_p - means[0])


# ------------------------------------------------------------------ the estimator


def small(prior=None, likelihood=None, **changes) -> AutoEncoder:
    return AutoEncoder(
        shape=(5,),
        latent=2,
        encoder=MLP([7]),
        posterior=DiagonalGaussian(),
        decoder=MLP([7]),
        likelihood=likelihood or Gaussian(0.5),
        prior=prior,
        **changes,
    ).double()


@pytest.mark.parametrize("prior", [StandardNormal, LaplacePrior, GaussianMixture, VampPrior])
@pytest.mark.parametrize("likelihood", [Gaussian, lambda: Categorical(4)])
def test_it_is_the_log_mean_of_the_importance_weights_for_any_parts(prior, likelihood):
    model = small(prior(), likelihood())
    x = torch.rand(3, 5, dtype=torch.float64)
    estimate = log_likelihood(model, x, samples=20_000)
    q = model.encode(x)
    z = q.sample((20_000,))
    log_w = model.decode(z).log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)
    expected = log_w.logsumexp(0) - math.log(20_000)
    weights = log_w.softmax(0)
    spread = (weights.square().sum(0) * 2).sqrt()  # of a log mean of as many independent weights
    assert ((estimate - expected).abs() < 4.5 * spread).all()
    assert spread.max() < 0.1


def test_an_example_has_the_same_estimate_in_any_batch():
    model = small()
    x = torch.rand(9, 5, dtype=torch.float64)
    places = torch.randperm(100)[:9]
    for samples, rows in ((7, 20), (50, 20), (50, 1000)):
        whole = log_likelihood(model, x, samples, places=places, rows=rows)
        order = torch.randperm(9)[:4]
        part = log_likelihood(model, x[order], samples, places=places[order], rows=rows)
        assert (part - whole[order]).abs().max() < 1e-12
        assert whole.shape == (9,)
    assert not torch.equal(whole, log_likelihood(model, x, 50, seed=1, places=places))


def test_every_chunk_has_samples_of_its_own():
    model, x = small(), torch.rand(9, 5, dtype=torch.float64)
    once = log_likelihood(model, x, samples=20, rows=20)
    twice = log_likelihood(model, x, samples=40, rows=20)
    assert (once - twice).abs().min() > 1e-6


def test_its_mean_at_one_sample_is_the_elbo():
    model = small(samples=1)
    x = torch.rand(1, 5, dtype=torch.float64).expand(40_000, -1)
    estimate = log_likelihood(model, x, samples=1)
    out = model.eval().propagate(Pair(x, x, torch.zeros(40_000), torch.arange(40_000)))
    elbo = -(model.distortion(out) + td.kl_divergence(out.q, model.prior()))
    error = (estimate.var() / 40_000 + elbo.var() / 40_000).sqrt()
    assert (estimate.mean() - elbo.mean()).abs() < 4.5 * error


def test_weights_that_underflow_are_added_in_float64():
    model = small(likelihood=Gaussian(1e-3)).float()
    estimate = log_likelihood(model, torch.rand(3, 5), samples=10)
    assert estimate.dtype == torch.float64
    assert estimate.isfinite().all()
    assert estimate.max() < -1e4  # e to this power is 0 in any precision


def test_half_precision_shifts_it_by_hundredths_of_a_nat():
    torch.manual_seed(0)
    model = VariationalAutoEncoder((1, 28, 28), 16, likelihood=Bernoulli()).eval()
    model.start(x := (torch.rand(8, 1, 28, 28) > 0.8).float())
    exact = log_likelihood(model, x, samples=500)
    half = log_likelihood(model, x, samples=500, precision=torch.bfloat16)
    assert not torch.equal(half, exact)
    assert (half - exact).abs().mean() < 0.1


def test_it_draws_nothing_from_the_global_generator():
    model, x = small(), torch.rand(3, 5).double()
    state = torch.get_rng_state()
    log_likelihood(model, x, samples=10)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_point_mass_is_refused():
    model = AutoEncoder((5,), 2, MLP([]), Dirac(), MLP([]), Gaussian())
    with pytest.raises(UsageError, match=r"log p\(x\) is estimated with a stochastic posterior"):
        log_likelihood(model, torch.rand(3, 5))


def test_no_samples_are_refused():
    with pytest.raises(UsageError, match="samples is 0"):
        log_likelihood(small(), torch.rand(3, 5).double(), samples=0)
