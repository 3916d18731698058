"""Likelihoods: the losses that users know, as normalised densities of whole examples, in nats."""

import math

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import distributions as td
from torch.autograd import gradcheck, gradgradcheck

from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import rebuild
from ae_lightning.distributions import (
    IndependentBernoulli,
    IndependentCategorical,
    IndependentContinuousBernoulli,
)
from ae_lightning.distributions.categorical import LogSoftmaxAt
from ae_lightning.distributions.continuous_bernoulli import LogPartition, tilted_mean
from ae_lightning.distributions.independent import SumSoftplus
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


def built(likelihood: Likelihood, shape=(1, 4, 4)) -> Likelihood:
    likelihood.build(shape)
    return likelihood.double()


def draw(likelihood: Likelihood, shape=(1, 4, 4), batch=(2, 3)):
    """Random features (*batch, *F), and an x in [0, 1] of every example (B, *S), in float64."""
    features = torch.randn(*batch, *likelihood.features(shape), dtype=torch.float64)
    return features, torch.rand(batch[-1], *shape, dtype=torch.float64)


# ------------------------------------------------------------------ the losses they are


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


# ------------------------------------------------------------------ what holds for every one


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


# ------------------------------------------------------------------ the learned σ


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


# ------------------------------------------------------------------ ContinuousBernoulli

LOGITS = [s * l for l in (1e-8, 1e-4, 0.1, 0.4999, 0.5001, 1.0, 30.0, 100.0) for s in (1, -1)]
PRECISIONS = {torch.float32: 1e-6, torch.float64: 1e-14}


def exact(l: float) -> tuple[float, float, float]:
    """log A(l), its derivative (the mean) and second derivative (the variance), to 50 digits."""
    with mpmath.workdps(50):
        l = mpmath.mpf(l)
        if l == 0:
            return 0.0, 0.5, 1 / 12
        A = mpmath.expm1(l) / l
        mean = 1 / (1 - mpmath.exp(-l)) - 1 / l
        variance = 1 / l**2 - mpmath.exp(-l) / (1 - mpmath.exp(-l)) ** 2
        return float(mpmath.log(A)), float(mean), float(variance)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("logit", [0.0, *LOGITS])
def test_continuous_bernoulli_is_right_near_zero_and_far_from_it(logit, dtype):
    l = torch.tensor([logit], dtype=dtype, requires_grad=True)
    x = torch.tensor([0.3], dtype=dtype)
    log_A, mean, variance = exact(l.item())
    tolerance = PRECISIONS[dtype]
    p = IndependentContinuousBernoulli(l, 1)
    (slope,) = torch.autograd.grad(p.log_prob(x).sum(), l)
    assert p.mean.item() == pytest.approx(mean, rel=tolerance)
    assert p.log_prob(x).item() == pytest.approx(
        0.3 * l.item() - log_A, rel=tolerance, abs=tolerance
    )
    assert slope.item() == pytest.approx(0.3 - mean, rel=10 * tolerance)
    (curvature,) = torch.autograd.grad(p.mean.sum(), l)
    assert curvature.item() == pytest.approx(variance, rel=1e3 * tolerance)


def test_continuous_bernoulli_has_not_the_mean_of_bernoulli():
    l = torch.tensor([2.0, -5.0], dtype=torch.float64)
    assert (tilted_mean(l) - l.sigmoid()).abs().min() > 0.1
    x = torch.linspace(0, 1, 20001, dtype=torch.float64)[:, None]
    for i in range(2):
        density = IndependentContinuousBernoulli(l[i : i + 1], 1).log_prob(x).exp()
        assert close(torch.trapezoid(density * x[:, 0], x[:, 0]), tilted_mean(l[i]), 1e-7)


@pytest.mark.parametrize("logit", [-100.0, -3.0, 0.0, 1e-6, 3.0, 100.0])
def test_continuous_bernoulli_samples_follow_its_density(logit):
    x = IndependentContinuousBernoulli(torch.full((50_000, 1), logit), 1).sample()
    _, mean, variance = exact(logit)
    assert abs(x.double().mean().item() - mean) < 4.5 * (variance / 50_000) ** 0.5
    assert x.double().var().item() == pytest.approx(variance, rel=0.05)


# ------------------------------------------------------------------ the fast forms


def test_the_gradients_of_the_fast_forms():
    l = 3 * torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    for f in (SumSoftplus.apply, LogPartition.apply):
        assert gradcheck(f, l)
        assert gradgradcheck(f, l)
    k = torch.randint(6, (4, 1))
    assert gradcheck(lambda l: LogSoftmaxAt.apply(l, k, 1), l)


@pytest.mark.parametrize("D", [1, 2, 64, 101, 131, 784, 3072])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3])
def test_a_sum_of_softplus_by_products_is_exact_for_any_number_of_elements(D, scale):
    l = scale * torch.randn(5, D)
    expected = F.softplus(l.double()).sum(-1)
    assert close(SumSoftplus.apply(l.double()), expected, 1e-10 * (1 + expected.max()))
    assert close(SumSoftplus.apply(l).double(), expected, 1e-6 * (1 + expected.max()))


def test_the_fast_forms_work_under_vmap():
    l, x = torch.randn(5, 4, 7, dtype=torch.float64), torch.rand(4, 7)
    for cls in (IndependentBernoulli, IndependentContinuousBernoulli):
        one = torch.func.vmap(lambda l, cls=cls: cls(l, 1).log_prob(x))(l)
        assert close(one, cls(l, 1).log_prob(x))
        rows = torch.func.vmap(torch.func.grad(lambda l, cls=cls: cls(l, 1).log_prob(x).sum()))(l)
        (whole,) = torch.autograd.grad(
            cls(leaf := l.clone().requires_grad_(), 1).log_prob(x).sum(), leaf
        )
        assert close(rows, whole)


def test_a_categorical_keeps_nothing_of_its_logits_size_but_them():
    logits = torch.randn(2, 256, 1, 16, 16, requires_grad=True)
    x = torch.rand(2, 1, 16, 16)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        IndependentCategorical(logits, 3).log_prob(x).sum().backward()
    large = {t.data_ptr() for t in saved if t.numel() == logits.numel()}
    assert large == {logits.data_ptr()}


def test_levels_round_to_the_nearest_and_bytes_are_kept():
    likelihood = built(Categorical(), (256,))
    k = torch.arange(256)
    one_hot = torch.full((256, 256), -1e3, dtype=torch.float64)  # level k is certain at pixel k
    one_hot[k, k] = 0
    p = likelihood(one_hot.flatten()[None])
    for x in (k / 255, (k + 0.4) / 255, np.float32(k) / np.float32(255)):
        assert p.log_prob(torch.as_tensor(x)) == 0
    assert close(p.mean[0], k.double() / 255)
