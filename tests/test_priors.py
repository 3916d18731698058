"""Priors: densities over codes, learned ones among them."""

import copy
import math
import pickle

import pytest
import torch
from torch import distributions as td

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import rebuild
from ae_lightning.distributions import kl
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from ae_lightning.priors import (
    ExponentialPrior,
    GaussianMixture,
    LaplacePrior,
    NormalPrior,
    StandardNormal,
    VampPrior,
)
from ae_lightning.regularizers.divergences import Rate
from helpers.models import model_of
from helpers.pairs import pair_of

EVERY = {
    "normal": StandardNormal,
    "wide normal": lambda: NormalPrior(2.0),
    "laplace": lambda: LaplacePrior(0.5),
    "mixture": lambda: GaussianMixture(components=3),
    "vamp": lambda: VampPrior(components=4),
}
every = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY.keys())


def model_with(prior, latent=2, posterior=None) -> AutoEncoder:
    rate = {"rate": Rate()} if posterior is None else None
    parts = {"posterior": posterior or DiagonalGaussian(), "prior": prior, "regularizers": rate}
    return model_of(shape=(5,), latent=latent, **parts)


# ------------------------------------------------------------------ what holds for every one


@every
def test_a_prior_is_a_normalised_density_over_codes(make):
    model = model_with(make(), latent=1)
    p = model.prior()
    assert (p.batch_shape, p.event_shape) == ((), (1,))
    z = torch.linspace(-30, 30, 600_001, dtype=torch.float64)[:, None]
    density = p.log_prob(z).exp()
    assert (torch.trapezoid(density, z[:, 0]) - 1).abs() < 1e-6
    assert (torch.trapezoid(density * z[:, 0], z[:, 0]) - p.mean[0]).abs() < 1e-6


@every
def test_samples_have_the_moments_of_the_density(make):
    p = model_with(make()).prior()
    z = p.sample((40_000,))
    error = (z.mean(0) - p.mean) / (z.std(0) / 200)
    assert error.abs().max() < 4.5
    assert (z.var(0) / p.variance - 1).abs().max() < 0.1


@every
def test_every_parameter_learns_from_the_rate(make):
    model = model_with(make())
    x = torch.randn(6, 5, dtype=torch.float64)
    model.objective(model.propagate(pair_of(x)))["loss"].backward()
    for name, parameter in model.prior.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


@every
def test_a_model_with_it_comes_back_from_its_record_and_weights(make):
    model = model_with(make())
    model.start(torch.randn(6, 5, dtype=torch.float64))
    again = rebuild(model.record).double()
    again.load_state_dict(model.state_dict())
    z = torch.randn(3, 2, dtype=torch.float64)
    assert torch.equal(again.prior().log_prob(z), model.prior().log_prob(z))


@pytest.mark.parametrize("cls", [GaussianMixture, VampPrior])
def test_a_mixture_of_nothing_is_refused(cls):
    with pytest.raises(UsageError, match="components is 0: a mixture needs at least one"):
        cls(components=0)


@pytest.mark.parametrize(
    ("prior", "factor"),
    [
        (StandardNormal(), td.Normal(0.0, 1.0)),
        (NormalPrior(2.0), td.Normal(0.0, 2.0)),
        (LaplacePrior(0.5), td.Laplace(0.0, 0.5)),
        (ExponentialPrior(0.5), td.Exponential(2.0)),
    ],
)
def test_a_prior_without_parameters_is_a_product_of_its_factors(prior, factor):
    p, z = model_with(prior, posterior=Dirac()).prior(), torch.rand(8, 2, dtype=torch.float64)
    assert (p.log_prob(z) - factor.log_prob(z).sum(1)).abs().max() < 1e-6


def test_an_exponential_density_is_0_below_0():
    p = model_with(ExponentialPrior(0.5), posterior=Dirac()).prior()
    assert p.log_prob(torch.tensor([[-1.0, 1.0]]).double()).item() == -math.inf


def test_a_laplace_scale_that_is_not_positive_is_refused():
    with pytest.raises(UsageError, match="scale is 0"):
        LaplacePrior(0)


# ------------------------------------------------------------------ mixtures


def test_the_density_of_a_gaussian_mixture():
    prior = model_with(GaussianMixture(components=3)).prior
    for parameter in prior.parameters():
        parameter.data.normal_()
    z = torch.randn(8, 2, dtype=torch.float64)
    sigmas = prior.log_sigmas.exp()
    normals = (
        -((z[:, None] - prior.means) / sigmas).square() / 2 - (sigmas**2 * 2 * math.pi).log() / 2
    )
    joint = prior.logits.log_softmax(0) + normals.sum(2)  # (8, C)
    assert (prior().log_prob(z) - joint.logsumexp(1)).abs().max() < 1e-10


def test_a_mixture_of_one_standard_component_is_the_standard_normal():
    prior = model_with(GaussianMixture(components=1)).prior
    prior.means.data.zero_()
    z = torch.randn(8, 2, dtype=torch.float64)
    expected = td.Normal(0.0, 1.0).log_prob(z).sum(1)
    assert (prior().log_prob(z) - expected).abs().max() < 1e-10


def test_the_monte_carlo_rate_to_a_mixture_is_the_integral():
    prior = model_with(GaussianMixture(components=3), latent=1).prior
    q = td.Independent(td.Normal(torch.full((1, 1), 0.4).double(), 0.3), 1)
    z = torch.linspace(-3, 4, 100_001, dtype=torch.float64)[:, None]
    log_q, log_p = q.log_prob(z), prior().log_prob(z)
    integral = torch.trapezoid(log_q.exp() * (log_q - log_p), z[:, 0])
    samples = q.sample((40_000,))
    spread = (q.log_prob(samples) - prior().log_prob(samples)).std() / 200
    assert (kl(q, prior(), samples) - integral).abs() < 4.5 * spread


# ------------------------------------------------------------------ VampPrior


def test_a_vamp_prior_is_the_mean_posterior_of_its_pseudo_inputs():
    model = model_with(VampPrior(components=4))
    z = torch.randn(8, 2, dtype=torch.float64)
    q = model.encode(model.prior.pseudo_inputs)
    expected = q.log_prob(z[:, None]).logsumexp(1) - math.log(4)
    assert (model.prior().log_prob(z) - expected).abs().max() < 1e-10


def test_its_encoder_is_the_model_s_and_counted_once():
    model = model_with(VampPrior(components=4))
    names = [name for name, _ in model.prior.named_parameters()]
    assert names == ["pseudo_inputs"]
    assert model.prior.pseudo_inputs.shape == (4, 5)
    (slope,) = torch.autograd.grad(
        model.prior().log_prob(torch.ones(2)), model.encoder.layers[0].weight
    )
    assert slope.abs().sum() > 0


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_of_the_model_encodes_by_its_own_encoder(copied):
    model = model_with(VampPrior(components=4))
    twin = copied(model)
    z = torch.randn(3, 2, dtype=torch.float64)
    before = model.prior().log_prob(z)
    assert torch.equal(twin.prior().log_prob(z), before)
    with torch.no_grad():
        for parameter in twin.encoder.parameters():
            parameter.normal_()
    assert torch.equal(model.prior().log_prob(z), before)
    q = twin.encode(twin.prior.pseudo_inputs)
    expected = q.log_prob(z[:, None]).logsumexp(1) - math.log(4)
    assert (twin.prior().log_prob(z) - expected).abs().max() < 1e-10


def test_the_pseudo_inputs_start_as_the_first_examples_distinct_and_alike_on_every_rank():
    x = torch.randn(3, 5, dtype=torch.float64)
    starts = []
    for seed in range(2):
        model = model_with(VampPrior(components=7))
        torch.manual_seed(seed)  # every rank draws its own training noise
        model.start(x)
        starts.append(model.prior.pseudo_inputs)
    assert torch.equal(*starts)
    assert torch.equal(starts[0][:3], x)
    assert torch.pdist(starts[0]).min() > 1e-3
    assert (starts[0][3:] - x.repeat(2, 1)[:4]).abs().max() < x.std()


def test_a_vamp_prior_of_a_point_mass_is_refused():
    with pytest.raises(UsageError, match="VampPrior needs a stochastic posterior"):
        model_with(VampPrior(), posterior=Dirac())
