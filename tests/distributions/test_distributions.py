"""Divergences by the right path, and noise that belongs to the example."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import distributions as td

from ae_lightning.core import randomness
from ae_lightning.core.errors import UsageError
from ae_lightning.distributions import (
    PointMass,
    UnitNormal,
    factorised_kl,
    kl,
    sample_by_index,
)


def product(base: td.Distribution) -> td.Independent:
    return td.Independent(base, 1)


def normal(B: int = 6, K: int = 3) -> td.Independent:
    mu = torch.randn(B, K, dtype=torch.float64)
    return product(td.Normal(mu, torch.rand(B, K, dtype=torch.float64) + 0.2))


def standard(K: int = 3) -> td.Independent:
    return product(td.Normal(torch.zeros(K).double(), torch.ones(K).double()))


def unit(K: int = 3) -> td.Independent:
    """The same, of which the library computes the rate by itself."""
    return product(UnitNormal(torch.zeros(K).double(), torch.ones(K).double()))


def laplace(K: int = 3, scale: float = 0.7) -> td.Independent:
    return product(td.Laplace(torch.zeros(K).double(), torch.full((K,), scale).double()))


def mixture(K: int = 3) -> td.MixtureSameFamily:
    parts = product(td.Normal(torch.randn(4, K).double(), torch.ones(K).double()))
    return td.MixtureSameFamily(td.Categorical(torch.ones(4).double()), parts)


def quadrature(f, breaks: list[float]) -> float:
    """∫ f by 200 Gauss-Legendre nodes between each pair of breaks."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    total = 0.0
    for a, b in pairwise(breaks):
        x = torch.from_numpy((a + b) / 2 + (b - a) / 2 * nodes)
        total += float((f(x) * torch.from_numpy(weights)).sum() * (b - a) / 2)
    return total


# ------------------------------------------------------------------ closed forms of the divergence


def test_the_rate_of_a_diagonal_gaussian_in_closed_form():
    q = normal()
    mu, sigma = q.mean, q.stddev
    expected = (mu.square() + sigma.square() - 1 - 2 * sigma.log()).sum(1) / 2
    z = q.sample((1,))
    for p in (standard(), unit()):
        assert (kl(q, p, z) - expected).abs().max() < 1e-10


@pytest.mark.parametrize("p", [standard(1), unit(1), laplace(1)], ids=["normal", "unit", "laplace"])
@pytest.mark.parametrize(("mu", "sigma"), [(0.0, 1.0), (0.8, 0.3), (-2.0, 1.5), (0.1, 0.01)])
def test_the_closed_forms_are_the_integrals(p, mu, sigma):
    q = td.Normal(torch.tensor(mu).double(), torch.tensor(sigma).double())
    mu, sigma = q.loc.item(), q.scale.item()

    def integrand(z):
        log_q, log_p = q.log_prob(z), p.base_dist.log_prob(z)
        return log_q.exp() * (log_q - log_p)

    breaks = [mu + k * sigma for k in range(-12, 13)]
    breaks = sorted({*breaks, 0.0} if breaks[0] < 0 < breaks[-1] else breaks)  # |z| has a kink at 0
    closed = kl(product(q.expand([1])), p, torch.full((1, 1), math.nan))
    assert abs(closed.item() - quadrature(integrand, breaks)) < 1e-10


@pytest.mark.parametrize("p", [standard(), unit(), laplace()], ids=["normal", "unit", "laplace"])
def test_the_closed_forms_are_the_means_over_samples(p):
    q = normal()
    z = q.sample((40_000,))
    terms = q.log_prob(z) - p.log_prob(z)
    error = (terms.mean(0) - kl(q, p, z)) / (terms.std(0) / 200)
    assert error.abs().max() < 4.5


# ------------------------------------------------------------------ the path taken


@pytest.mark.parametrize("p", [standard(), unit(), laplace()], ids=["normal", "unit", "laplace"])
def test_a_closed_form_looks_at_no_samples(p):
    q = normal()
    assert kl(q, p, torch.full((1, 6, 3), math.nan)).isfinite().all()


def test_without_a_closed_form_it_is_the_mean_over_the_samples():
    q, p = normal(), mixture()
    z = q.sample((5,))
    expected = (q.log_prob(z) - p.log_prob(z)).mean(0)
    assert torch.equal(kl(q, p, z), expected)


def test_a_full_covariance_has_no_rate_per_dimension_and_the_right_rate():
    q = td.MultivariateNormal(torch.zeros(6, 3).double(), torch.eye(3).double() * 0.3)
    p = td.MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    assert factorised_kl(q, p) is None
    same = product(td.Normal(torch.zeros(6, 3).double(), math.sqrt(0.3)))
    assert (kl(q, p, q.sample((1,))) - kl(same, standard(), q.sample((1,)))).abs().max() < 1e-10


def test_a_point_mass_has_no_rate():
    q = PointMass(torch.zeros(6, 3).double())
    with pytest.raises(UsageError, match="has no density"):
        kl(q, standard(), q.rsample((1,)))


@pytest.mark.parametrize("p", [standard(), unit(), laplace()], ids=["normal", "unit", "laplace"])
def test_the_rates_of_the_dimensions_add_up_to_the_rate(p):
    q = normal()
    rates = factorised_kl(q, p)
    assert rates.shape == (6, 3)
    assert (rates.sum(1) - kl(q, p, q.sample((1,)))).abs().max() < 1e-10


def test_there_is_no_rate_per_dimension_of_a_mixture_or_an_unknown_pair():
    assert factorised_kl(normal(), mixture()) is None
    student = product(td.StudentT(torch.ones(3).double(), 0.0, 1.0))
    assert factorised_kl(normal(), student) is None
    q = normal()
    z = q.sample((9,))
    assert torch.equal(kl(q, student, z), (q.log_prob(z) - student.log_prob(z)).mean(0))


# ------------------------------------------------------------------ noise keyed on the example

FAMILIES = {"normal": td.Normal, "laplace": td.Laplace}
families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES.keys())


def located(family, B: int, K: int = 3, dtype=torch.float64) -> td.Independent:
    mu = torch.arange(B * K, dtype=dtype).view(B, K) / 10
    return product(family(mu, 0.5 + mu.cos().square()))


@families
@pytest.mark.parametrize("n", [1, 5, 20])
def test_the_noise_of_an_example_is_the_same_in_any_batch(family, n):
    q = located(family, 12)
    index = torch.randperm(1000)[:12]
    whole = sample_by_index(q, n, seed=3, index=index)
    assert whole.shape == (n, 12, 3)
    order = torch.randperm(12)
    for places in (order, order[:5], order[5:6]):
        base = family(q.base_dist.loc[places], q.base_dist.scale[places])
        part = sample_by_index(product(base), n, seed=3, index=index[places])
        assert torch.equal(part, whole[:, places])


@families
def test_the_noise_is_another_for_another_seed_or_example(family):
    q = product(family(torch.zeros(2, 3), torch.ones(2, 3)))
    z = sample_by_index(q, 1, seed=0, index=torch.tensor([0, 1]))[0]
    assert not torch.equal(z[0], z[1])
    other = sample_by_index(q, 1, seed=1, index=torch.tensor([0, 1]))[0]
    assert not torch.equal(z, other)
    assert not torch.equal(z[1], other[0])  # seeds are mixed, not added to the index


@families
def test_the_noise_has_the_law_of_the_family(family):
    q = located(family, 4000)
    z = sample_by_index(q, 20, seed=0, index=torch.arange(4000))
    epsilon = (z - q.base_dist.loc) / q.base_dist.scale  # (20, 4000, 3)
    unit = family(torch.tensor(0.0).double(), torch.tensor(1.0).double())
    values, n = epsilon.flatten(), epsilon.numel()
    assert values.mean().abs() < 4.5 * unit.stddev / n**0.5
    assert (values.var() / unit.variance - 1).abs() < 0.03
    quantiles = torch.linspace(0.05, 0.95, 19).double()
    covered = (unit.cdf(values)[:, None] < quantiles).double().mean(0)
    assert ((covered - quantiles) / (quantiles * (1 - quantiles) / n).sqrt()).abs().max() < 4.5


@families
def test_the_noise_of_neighbouring_examples_and_samples_is_uncorrelated(family):
    q = product(family(torch.zeros(4000, 3), torch.ones(4000, 3)))
    z = sample_by_index(q, 2, seed=0, index=torch.arange(4000)).double()
    pairs = [(z[:, 1:], z[:, :-1]), (z[0], z[1]), (z[..., 0], z[..., 1])]
    pairs.append((z[:, 1:, :-1], z[:, :-1, 1:]))  # streams that overlap
    for a, b in pairs:
        r = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
        assert r.abs() < 4.5 / a.numel() ** 0.5


def test_the_stream_of_an_example_is_that_of_splitmix64():
    state = 1234567 + torch.arange(1, 4) * randomness._GOLDEN
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert [z % 2**64 for z in randomness._mix(state).tolist()] == published


@families
def test_every_precision_sees_the_same_noise(family):
    index = torch.arange(5)
    single = sample_by_index(located(family, 5, dtype=torch.float32), 2, 0, index)
    double = sample_by_index(located(family, 5, dtype=torch.float64), 2, 0, index)
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    assert (single - double).abs().max() < 1e-5


@pytest.mark.parametrize("q", [normal(), mixture().expand([6]), PointMass(torch.zeros(6, 3))])
def test_drawing_leaves_the_generator_as_it_was(q):
    if isinstance(q, td.MixtureSameFamily):
        q.rsample = q.sample  # torch's has no reparameterised samples
    state = torch.get_rng_state()
    first = sample_by_index(q, 2, 0, torch.arange(6))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    assert torch.equal(sample_by_index(q, 2, 0, torch.arange(6)), first)


def test_samples_carry_gradients_to_mean_and_scale():
    mu, sigma = torch.zeros(2, 3, requires_grad=True), torch.ones(2, 3, requires_grad=True)
    z = sample_by_index(product(td.Normal(mu, sigma)), 1, 0, torch.arange(2))
    slopes = torch.autograd.grad(z.sum(), (mu, sigma))
    assert torch.equal(slopes[0], torch.ones(2, 3))
    assert torch.equal(slopes[1], z[0].detach())


def test_families_that_only_look_like_location_and_scale_are_drawn_by_themselves():
    index = torch.arange(1000)
    lognormal = product(td.LogNormal(torch.zeros(1000, 2), torch.ones(1000, 2)))
    assert (sample_by_index(lognormal, 3, 0, index) > 0).all()
    student = product(td.StudentT(torch.full((1000, 2), 5.0), 2.0, 0.1))
    z = sample_by_index(student, 3, 0, index)
    assert (z.mean() - 2).abs() < 0.05
    assert (z.var() / student.base_dist.variance[0, 0] - 1).abs() < 0.2
