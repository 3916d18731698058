"""Likelihoods: the losses that users know, as normalised densities of whole examples, in nats."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import distributions as td

from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import rebuild
from ae_lightning.likelihoods import (
    FLOOR,
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Gaussian,
    HeteroscedasticGaussian,
    Laplace,
    Likelihood,
)
from ae_lightning.nn import MLP, ConvDecoder
from helpers.closeness import close
from helpers.likelihoods import built

EVERY = {
    "gaussian": lambda: Gaussian(0.3),
    "learned": lambda: Gaussian(0.3, learned=True),
    "heteroscedastic": lambda: HeteroscedasticGaussian(0.3),
    "laplace": lambda: Laplace(0.3),
    "bernoulli": lambda: Bernoulli(),
    "continuous": lambda: ContinuousBernoulli(),
    "categorical": lambda: Categorical(levels=16),
}
SHAPES = [(5,), (1, 4, 4), (3, 8, 4)]
every = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY.keys())
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)


def draw(likelihood: Likelihood, shape=(1, 4, 4), batch=(2, 3)):
    """Random features (*batch, *F), and an x in [0, 1] of every example (B, *S), in float64."""
    features = torch.randn(*batch, *likelihood.features(shape), dtype=torch.float64)
    return features, torch.rand(batch[-1], *shape, dtype=torch.float64)


# ------------------------------------------------------------- the losses they are


@pytest.mark.parametrize("sigma", [0.1, 1.0, 1e-4])
def test_gaussian_is_squared_error_over_twice_the_variance(sigma):
    likelihood = built(Gaussian(sigma))
    m, x = draw(likelihood)
    squared = (x - m).square().flatten(2).sum(2)
    constant = 16 * (math.log(sigma) + math.log(2 * math.pi) / 2)
    nll = -likelihood(m).log_prob(x)
    expected = squared / (2 * sigma**2) + constant
    assert ((nll - expected) / expected).abs().max() < 1e-10


def test_laplace_is_absolute_error():
    likelihood = built(Laplace(0.7))
    m, x = draw(likelihood)
    absolute = (x - m).abs().flatten(2).sum(2)
    assert close(-likelihood(m).log_prob(x), absolute / 0.7 + 16 * math.log(1.4))


def test_bernoulli_is_cross_entropy():
    likelihood = built(Bernoulli())
    l, x = draw(likelihood)
    entropy = F.binary_cross_entropy_with_logits(l, x.expand_as(l), reduction="none")
    assert close(-likelihood(l).log_prob(x), entropy.flatten(2).sum(2))


def test_categorical_is_softmax_cross_entropy_over_256_levels():
    likelihood = built(Categorical(), (3, 2, 2))
    features, _ = draw(likelihood, (3, 2, 2))
    k = torch.randint(256, (3, 3, 2, 2))
    nll = -likelihood(features).log_prob(k / 255)
    logits = features.view(6, 256, 3, 2, 2)
    entropy = F.cross_entropy(logits, k.repeat(2, 1, 1, 1), reduction="none")
    assert close(nll, entropy.flatten(1).sum(1).view(2, 3))


def test_heteroscedastic_gaussian_is_a_gaussian_with_a_sigma_for_every_pixel():
    likelihood = built(HeteroscedasticGaussian(), (2, 4, 4))
    features, x = draw(likelihood, (2, 4, 4))
    m, s = features.chunk(2, dim=2)
    sigma = (F.softplus(s + 6) - 6).exp()
    expected = td.Independent(td.Normal(m, sigma), 3).log_prob(x)
    assert close(likelihood(features).log_prob(x), expected)


@pytest.mark.parametrize("l", [-20.0, -1.0, 0.0, 0.3, 5.0])
def test_continuous_bernoulli_integrates_to_one_and_bernoulli_on_grey_values_does_not(l):
    x = torch.linspace(0, 1, 20001, dtype=torch.float64)[:, None]
    logits = torch.tensor([l], dtype=torch.float64)
    masses = [
        torch.trapezoid(built(likelihood, (1,))(logits).log_prob(x).exp(), x[:, 0])
        for likelihood in (ContinuousBernoulli(), Bernoulli())
    ]
    assert abs(masses[0] - 1) < 1e-3
    assert masses[1] < 0.51


def test_categorical_probabilities_of_all_levels_sum_to_one():
    p = built(Categorical(levels=16), (1,))(torch.randn(16, dtype=torch.float64))
    every_level = torch.arange(16)[:, None] / 15
    assert close(p.log_prob(every_level).exp().sum(), 1)


# -------------------------------------------------------- what holds for every one


@every
@shapes
def test_p_has_the_batch_of_the_features_and_the_event_of_the_data(make, shape):
    likelihood = built(make(), shape)
    features, x = draw(likelihood, shape)
    p = likelihood(features)
    assert (p.batch_shape, p.event_shape) == ((2, 3), shape)
    assert p.mean.shape == p.sample().shape == (2, 3, *shape)
    assert p.sample((7,)).shape == (7, 2, 3, *shape)
    assert p.log_prob(x).shape == (2, 3)
    assert {p.mean.dtype, p.sample().dtype, p.log_prob(x).dtype} == {torch.float64}
    assert torch.equal(p.log_prob(x), p.log_prob(x.expand(2, 3, *shape)))
    if likelihood.unit_interval:
        for values in (p.mean, p.sample()):
            assert values.min() >= 0
            assert values.max() <= 1


@every
def test_the_mean_is_that_of_the_samples(make):
    likelihood = built(make(), (4,))
    p = likelihood(draw(likelihood, (4,), batch=(3,))[0])
    samples = p.sample((20_000,))
    error = (samples.mean(0) - p.mean) / (samples.std(0) / 20_000**0.5)
    assert error.abs().max() < 4.5


@every
def test_duplicating_the_pixels_doubles_the_log_probability(make):
    one, two = built(make(), (1, 2, 3)), built(make(), (1, 2, 6))
    features, x = draw(one, (1, 2, 3))
    doubled = two(torch.cat([features, features], -1)).log_prob(torch.cat([x, x], -1))
    assert close(doubled, 2 * one(features).log_prob(x))


@every
@shapes
def test_link_gives_the_features_of_a_mean(make, shape):
    likelihood = built(make(), shape)
    mean = torch.rand(shape, dtype=torch.float64) * 0.9 + 0.05
    features = likelihood.link(mean)
    assert features.shape == likelihood.features(shape)
    assert close(likelihood(features[None]).mean[0], mean)


@every
def test_link_of_a_pixel_that_is_always_black_is_finite(make):
    likelihood = built(make(), (2,))
    features = likelihood.link(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert features.isfinite().all()
    assert close(likelihood(features[None]).mean[0], torch.tensor([0.0, 1.0]), 0.011)


@every
@pytest.mark.parametrize("decoder", [MLP([8]), ConvDecoder((8,), 8)], ids=["mlp", "conv"])
def test_every_decoder_feeds_it_and_starts_at_the_mean(make, decoder):
    likelihood, shape = make(), (3, 4, 4)
    likelihood.build(shape)
    decoder.build((2,), likelihood.features(shape))
    mean = torch.full(shape, 0.25)
    decoder.centre(None, likelihood.link(mean))
    p = likelihood(decoder(torch.zeros(5, 2)))
    assert p.log_prob(mean).shape == (5,)
    assert (p.mean.mean() - 0.25).abs() < 0.1


@every
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_log_probability_and_its_gradient_are_finite_in_float32(make, scale):
    likelihood = make()
    likelihood.build((3, 4, 4))
    features = (scale * torch.randn(5, *likelihood.features((3, 4, 4)))).requires_grad_()
    log_p = likelihood(features).log_prob(torch.rand(5, 3, 4, 4))
    log_p.sum().backward()
    assert log_p.isfinite().all()
    assert features.grad.isfinite().all()


@every
def test_half_precision_features_are_summed_in_single_precision(make):
    likelihood = make()
    likelihood.build((3, 4, 4))
    features, x = draw(likelihood, (3, 4, 4))
    half = features.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        p = likelihood(half)
        log_p, mean = p.log_prob(x.float()), p.mean
    assert log_p.dtype == mean.dtype == torch.float32
    exact = likelihood(half.float()).log_prob(x.float())
    assert ((log_p - exact) / exact).abs().max() < 1e-5


@every
def test_it_is_rebuilt_from_its_record(make):
    likelihood = make()
    likelihood.build((1, 4, 4))
    again = rebuild(likelihood.record)
    again.build((1, 4, 4))
    again.load_state_dict(likelihood.state_dict())
    features, x = draw(likelihood)
    assert torch.equal(again(features).log_prob(x), likelihood(features).log_prob(x))


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan])
@pytest.mark.parametrize("cls", [Gaussian, HeteroscedasticGaussian, Laplace])
def test_a_scale_that_is_not_positive_is_refused(cls, value):
    with pytest.raises(UsageError, match="expected a number above 0"):
        cls(value)


def test_one_level_is_refused():
    with pytest.raises(UsageError, match="levels is 1"):
        Categorical(1)


# ------------------------------------------------------------------- the learned σ


def test_a_shared_learned_variance_settles_at_the_mean_squared_error():
    likelihood = built(Gaussian(1.0, learned=True))
    m, x = draw(likelihood, batch=(64,))
    optimizer = torch.optim.LBFGS(likelihood.parameters(), line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = -likelihood(m).log_prob(x).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    mse = (x - m).square().mean()
    assert (likelihood.sigma**2 / mse - 1).abs() < 1e-6


def test_a_learned_sigma_starts_where_it_is_told():
    assert Gaussian(0.02, learned=True).sigma.item() == pytest.approx(0.02, rel=1e-5)
    p = built(HeteroscedasticGaussian(0.02), (3,))
    features = p.link(torch.zeros(3, dtype=torch.float64))
    assert close(p(features[None]).stddev, torch.full((1, 3), 0.02).double(), 1e-9)


def test_a_learned_sigma_stays_above_its_floor_and_can_rise_again():
    likelihood = built(Gaussian(1.0, learned=True))
    likelihood.raw.data.fill_(-30.0)
    assert likelihood.sigma.log() >= FLOOR
    (-likelihood(torch.ones(1, 1, 4, 4)).log_prob(torch.zeros(1, 1, 4, 4))).sum().backward()
    assert likelihood.raw.grad < 0  # descent raises it


def test_a_constant_sigma_below_the_floor_is_kept():
    assert built(Gaussian(1e-5)).sigma.item() == pytest.approx(1e-5)


def test_a_learned_start_below_the_floor_is_refused():
    with pytest.raises(UsageError, match=r"sigma is 0.001: expected a number above 0.002479"):
        Gaussian(0.001, learned=True)


def test_the_sigma_of_every_pixel_has_its_optimum_at_its_error_and_its_floor_at_exp_minus_six():
    likelihood = built(HeteroscedasticGaussian(), (3,))
    error = torch.tensor([0.1, 2.0, 0.0], dtype=torch.float64)
    s = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([s], max_iter=500, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = -likelihood(torch.cat([torch.zeros(3), s])[None]).log_prob(error).sum()
        loss.backward()
        return loss

    for _ in range(20):
        optimizer.step(closure)
    sigma = likelihood(torch.cat([torch.zeros(3), s])[None]).stddev[0]
    assert (sigma[:2] / error[:2] - 1).abs().max() < 1e-4
    assert FLOOR <= sigma[2].log() < FLOOR + 0.1
