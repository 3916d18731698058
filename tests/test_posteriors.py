"""Posteriors: what the encoder's features mean."""

import pytest
import torch
from torch.distributions import kl_divergence

from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import rebuild
from ae_lightning.nn import TopK, UnitVariance
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from ae_lightning.priors import StandardNormal


def test_the_features_of_a_diagonal_gaussian_are_its_mean_and_log_sigma():
    posterior = DiagonalGaussian()
    features = torch.randn(5, posterior.features(3), dtype=torch.float64)
    q = posterior(features)
    assert (q.batch_shape, q.event_shape) == ((5,), (3,))
    assert torch.equal(q.mean, features[:, :3])
    assert torch.equal(q.stddev, features[:, 3:].exp())  # not its half: that is of a log-variance


def test_a_fixed_sigma_leaves_all_features_to_the_mean():
    posterior = DiagonalGaussian(sigma=0.1)
    features = torch.randn(5, posterior.features(3), dtype=torch.float64)
    q = posterior(features)
    assert torch.equal(q.mean, features)
    assert torch.equal(q.stddev, torch.full_like(features, 0.1))


@pytest.mark.parametrize("sigma", [0.0, -1.0])
def test_a_sigma_that_is_not_positive_is_refused(sigma):
    with pytest.raises(UsageError, match=f"sigma is {sigma}: expected a standard deviation above"):
        DiagonalGaussian(sigma)


@pytest.mark.parametrize("log_sigma", [-1e3, 1e3])
def test_a_far_log_sigma_keeps_samples_rate_and_gradient_finite(log_sigma):
    features = torch.tensor([[1.0, log_sigma]], requires_grad=True)
    prior = StandardNormal()
    prior.build(1, (1,), encode=None)
    q = DiagonalGaussian()(features)
    z = q.rsample((4,))
    (z.square().mean() + q.log_prob(z).mean() + kl_divergence(q, prior()).mean()).backward()
    assert z.isfinite().all()
    assert features.grad.isfinite().all()


def test_a_log_sigma_is_what_it_is_within_bounds_and_is_pulled_back_from_beyond():
    features = torch.cat([torch.zeros(1, 9), torch.linspace(-40, 40, 9)[None]], 1).requires_grad_()
    q = DiagonalGaussian()(features)
    inner = torch.linspace(-10, 10, 101)
    sigma = DiagonalGaussian()(torch.cat([inner, inner])[None]).stddev[0]
    assert sigma.equal(inner.exp())
    prior = StandardNormal()
    prior.build(9, (9,), encode=None)
    (pull,) = torch.autograd.grad(kl_divergence(q, prior()).sum(), features)
    assert (pull[0, 9:13] < -0.02).all()  # too narrow
    assert (pull[0, 14:] > 0.02).all()  # too wide
    assert (q.stddev[0].diff() > 0).all()


def test_half_precision_features_give_a_posterior_in_single_precision():
    for posterior in (DiagonalGaussian(), DiagonalGaussian(0.1)):
        q = posterior(torch.zeros(2, posterior.features(3), dtype=torch.bfloat16))
        assert q.mean.dtype == q.stddev.dtype == torch.float32
    assert q.stddev[0, 0] == torch.tensor(0.1)


def test_samples_are_reparameterised():
    features = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    z = DiagonalGaussian()(features).rsample()
    (slope,) = torch.autograd.grad(z.sum(), features)
    assert torch.equal(slope, torch.stack([torch.ones_like(z[0]), z[0]], 1).detach())  # 1, σε


def test_dirac_is_all_mass_on_the_activated_features():
    features = torch.tensor([[3.0, -1.0, 2.0]])
    posterior = Dirac(TopK(2))
    posterior.build(3)
    q = posterior(features)
    assert q.mean.tolist() == q.sample().tolist() == [[3.0, 0.0, 2.0]]
    assert torch.equal(q.rsample((4,)), q.mean.expand(4, 1, 3))
    assert torch.equal(q.variance, torch.zeros(1, 3))


def test_dirac_has_no_density():
    q = Dirac()(torch.zeros(2, 3))
    with pytest.raises(UsageError, match="a Dirac posterior has no density: use a stochastic one"):
        q.log_prob(torch.zeros(2, 3))


@pytest.mark.parametrize("make", [Dirac, lambda: Dirac(UnitVariance()), DiagonalGaussian])
def test_it_is_rebuilt_from_its_record(make):
    posterior = make()
    again = rebuild(posterior.record)
    for p in (posterior, again):
        p.build(3)
    features = torch.randn(5, posterior.features(3))
    assert torch.equal(again(features).mean, posterior(features).mean)
