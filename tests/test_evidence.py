"""log p(x) from below, against a model whose evidence is known."""

import copy
import math
from itertools import pairwise

import pytest
import torch
from torch import distributions as td

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.evidence import TURNED, log_density, log_likelihood
from ae_lightning.likelihoods import Bernoulli, Categorical, Gaussian
from ae_lightning.nn import MLP
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from ae_lightning.priors import GaussianMixture, LaplacePrior, StandardNormal, VampPrior
from ae_lightning.systems import VariationalAutoEncoder
from ae_lightning.theory.linear_models import (
    LinearVAE,
    exact_linear_vae,
    marginal,
    orthogonal_columns,
)

# --------------------------------------------------------------- probabilistic PCA


def probabilistic_pca() -> LinearVAE:
    W = orthogonal_columns(7, [4.0, 1.0, 0.25])
    return exact_linear_vae(W, 0.6, torch.randn(7).double())


@pytest.mark.parametrize(("samples", "rows"), [(1, 100), (7, 100), (50, 20), (60, 20)])
def test_with_the_true_posterior_any_samples_are_log_p_without_variance(samples, rows):
    model = probabilistic_pca()
    p = marginal(model)
    x = p.sample((20,))
    for seed in range(3):
        estimate = log_likelihood(model, x, samples, seed=seed, rows=rows)
        assert (estimate - p.log_prob(x)).abs().max() < 1e-10


def test_importance_weighted_bounds_rise_with_their_samples_and_stay_below_log_p():
    model, repeats = probabilistic_pca(), 20_000
    for parameter in model.encoder.parameters():  # so that q is not the true posterior
        parameter += 0.1 * torch.randn_like(parameter)
    p = marginal(model)
    x = p.sample((1,)).expand(repeats, -1)
    log_p = p.log_prob(x[0])
    bounds = [(1, 1), (5, 1), (25, 1), (125, 4)]
    means, errors = [], []
    for samples, fewer in bounds:
        n = repeats // fewer
        estimate = log_likelihood(model, x[:n], samples=samples, seed=samples)
        means.append(estimate.mean().item())
        errors.append((estimate.std() / n**0.5).item())
    for (low, high), (e_low, e_high) in zip(pairwise(means), pairwise(errors), strict=True):
        assert low <= high + 3 * math.hypot(e_low, e_high)
    assert means[1] - means[0] > 10 * errors[0]  # these are no ties
    assert all(m <= log_p + 3 * e for m, e in zip(means, errors, strict=True))
    assert log_p - means[-1] < 0.05 * (log_p - means[0])


# ------------------------------------------------------------------- the estimator


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


@pytest.mark.parametrize("widths", [(), (7,), (7, 4)])
@pytest.mark.parametrize("learned", [False, True])
def test_a_turned_gaussian_is_the_same(widths, learned):
    likelihood = Gaussian(0.3, learned=learned)
    parts = MLP([7]), DiagonalGaussian(), MLP(widths), likelihood
    model = AutoEncoder((1, 3, 3), 2, *parts).double().eval()
    x, z = torch.rand(4, 1, 3, 3).double(), torch.randn(6, 4, 2).double()
    turned, plain = (log_density(model, turned=t)(z, x) for t in (True, False))
    assert (turned - plain).abs().max() < 1e-11


def test_turning_rounds_a_millionth_at_most():
    torch.manual_seed(0)
    model = VariationalAutoEncoder((1, 28, 28), likelihood=Gaussian(0.1)).eval()
    model.start(x := (torch.rand(4, 1, 28, 28) > 0.8).float())
    z = torch.randn(500, 4, model.latent)
    exact = log_density(copy.deepcopy(model).double(), turned=False)(z.double(), x.double())
    turned = log_density(model, turned=True)(z, x)
    assert ((turned - exact) / exact).abs().max() < 1e-6


def test_only_a_gaussian_of_one_sigma_around_an_mlp_is_turned(monkeypatch):
    monkeypatch.setattr("ae_lightning.evidence._turned", lambda *_: pytest.fail("it was turned"))
    wide = AutoEncoder((5,), 2, MLP([7]), DiagonalGaussian(), MLP([7]), Gaussian(0.5))
    other = AutoEncoder((9,), 2, MLP([7]), DiagonalGaussian(), MLP([7]), Bernoulli())
    for model in (wide.eval(), other.eval()):
        x = torch.rand(3, *model.shape)
        assert log_likelihood(model, x, samples=TURNED).isfinite().all()


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
