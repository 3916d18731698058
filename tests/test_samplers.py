"""Chains that keep the density, one that shrinks it, and Langevin dynamics along a score."""

import math

import pytest
import torch
from torch import Tensor
from torch import distributions as td

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.errors import UsageError
from ae_lightning.distributions import PointMass
from ae_lightning.geometry import score
from ae_lightning.likelihoods import Bernoulli, Gaussian
from ae_lightning.nn import MLP
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from ae_lightning.priors import GaussianMixture
from ae_lightning.regularizers import Rate
from ae_lightning.samplers import ancestral, annealed_langevin, denoising_chain, langevin
from ae_lightning.systems import VariationalAutoEncoder

CHAINS = 100_000


class GaussianData:
    """x ~ N(μ, s²) under corruption by σ: the optimal denoiser, and p(x|x̃), in closed form."""

    def __init__(self, mu: float = 0.0, s: float = 1.0, sigma: float = 0.5) -> None:
        self.mu, self.s, self.sigma = mu, s, sigma
        self.a = s**2 / (s**2 + sigma**2)

    def mean(self, x_tilde):
        return self.mu + self.a * (x_tilde - self.mu)

    def reverse(self, x_tilde):
        """p(x|x̃) = N(r(x̃), a σ²)."""
        spread = math.sqrt(self.a) * self.sigma
        return td.Independent(td.Normal(self.mean(x_tilde), spread), 1)

    def mean_only(self, x_tilde):
        return PointMass(self.mean(x_tilde))

    def smoothed_score(self, x):
        """∇ log N(x; μ, s² + σ²) = (r(x) − x)/σ²."""
        return (self.mean(x) - x) / self.sigma**2


@pytest.mark.parametrize("start", [0.0, 3.0])
def test_denoising_chain_by_the_true_reverse_keeps_the_density_from_any_start(start):
    data = GaussianData()
    x = torch.full((CHAINS, 1), start, dtype=torch.float64)
    x = denoising_chain(data.reverse, x, data.sigma, steps=60)
    assert x.mean().abs() < 0.02
    assert (x.var() - 1).abs() < 0.02
    below = (x < torch.tensor([-1.0, 0.0, 1.0])).double().mean(0)
    assert (below - td.Normal(0.0, 1.0).cdf(torch.tensor([-1.0, 0.0, 1.0]))).abs().max() < 0.01


@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_denoising_chain_by_the_mean_alone_shrinks_the_density(sigma):
    data = GaussianData(sigma=sigma)
    shrunk = data.a**2 * sigma**2 / (1 - data.a**2)
    x = torch.randn(CHAINS, 1, dtype=torch.float64)
    x = denoising_chain(data.mean_only, x, sigma, steps=60)
    assert (x.var() - shrunk).abs() < 0.02
    assert shrunk < 0.5


def test_denoising_chain_on_two_modes_visits_both_in_their_proportions():
    means, weights = torch.tensor([-1.0, 1.0]).double(), torch.tensor([0.3, 0.7]).double()
    s, sigma = 0.2, 1.0

    def reverse(x_tilde):
        """The posterior of a mixture is the mixture of posteriors."""
        logits = weights.log() + td.Normal(means, math.hypot(s, sigma)).log_prob(x_tilde)
        a = s**2 / (s**2 + sigma**2)
        parts = td.Normal(means + a * (x_tilde - means), math.sqrt(a) * sigma)  # (B, 2)
        return td.MixtureSameFamily(td.Categorical(logits=logits), parts)

    x = torch.full((CHAINS, 1), -1.0, dtype=torch.float64)
    x = denoising_chain(lambda x: td.Independent(Column(reverse(x)), 1), x, sigma, steps=40)
    assert ((x > 0).double().mean() - 0.7).abs() < 0.01
    assert (x[x > 0].std() - s).abs() < 0.02


class Column(td.Distribution):
    """A batch (B,) as a batch (B, 1)."""

    def __init__(self, base):
        self.base = base
        super().__init__((*base.batch_shape, 1), (), validate_args=False)

    def sample(self, sample_shape=()):
        return self.base.sample(sample_shape).unsqueeze(-1)


@pytest.mark.parametrize(("mu", "s", "sigma"), [(0.0, 1.0, 0.5), (2.0, 0.5, 0.3)])
def test_langevin_dynamics_sample_the_smoothed_density(mu, s, sigma):
    data = GaussianData(mu, s, sigma)
    x = torch.zeros(CHAINS, 1, dtype=torch.float64)
    x = langevin(data.smoothed_score, x, step=0.01, n=600)
    smoothed = s**2 + sigma**2
    assert (x.mean() - mu).abs() < 0.02
    assert (x.var() - smoothed).abs() < 0.02
    assert (x.var() - s**2).abs() > 0.05  # which is not the density of the data


@pytest.mark.parametrize("step", [0.2, 0.5])
def test_langevin_dynamics_have_the_bias_that_their_docstring_states(step):
    x = torch.zeros(CHAINS, 1, dtype=torch.float64)
    x = langevin(lambda x: -x, x, step, n=60)
    assert (x.var() - 1 / (1 - step / 2)).abs() < 0.02


def linear_denoiser(data: GaussianData) -> AutoEncoder:
    """The optimal denoiser of Gaussian data as an autoencoder: r(x̃) = μ + a(x̃ − μ)."""
    model = AutoEncoder(
        shape=(1,),
        latent=1,
        encoder=MLP([]),
        posterior=Dirac(),
        decoder=MLP([]),
        likelihood=Gaussian(math.sqrt(data.a) * data.sigma),
        value_range=None,
    )
    for network, bias in ((model.encoder, 0.0), (model.decoder, (1 - data.a) * data.mu)):
        torch.nn.init.constant_(network.layers[0].weight, math.sqrt(data.a))
        torch.nn.init.constant_(network.layers[0].bias, bias)
    return model.double().eval()


def test_a_denoising_autoencoder_walks_and_diffuses_to_its_densities():
    data = GaussianData(mu=1.0, s=0.8)
    model = linear_denoiser(data)
    x = torch.zeros(CHAINS, 1, dtype=torch.float64)
    kept = denoising_chain(lambda x: model.decode(model.code(x)), x, data.sigma, steps=60)
    smoothed = langevin(lambda x: score(model, x, data.sigma), x, step=0.01, n=600)
    for draws, variance in ((kept, data.s**2), (smoothed, data.s**2 + data.sigma**2)):
        assert (draws.mean() - data.mu).abs() < 0.02
        assert (draws.var() - variance).abs() < 0.02
        assert not draws.requires_grad


def test_ancestral_draws_follow_prior_then_decoder():
    model = AutoEncoder(
        shape=(2,),
        latent=2,
        encoder=MLP([]),
        posterior=DiagonalGaussian(),
        decoder=MLP([]),
        likelihood=Gaussian(0.5),
        prior=GaussianMixture(2),
        regularizers={"rate": Rate()},
        value_range=None,
    ).double()
    x = ancestral(model, CHAINS)
    W, b = model.decoder.layers[0].weight.detach(), model.decoder.layers[0].bias.detach()
    z = model.prior().sample((CHAINS,))
    mean, cov = W @ model.prior().mean + b, W @ z.T.cov() @ W.T + 0.25 * torch.eye(2)
    assert (x.mean(0) - mean).abs().max() < 0.02
    assert (x.T.cov() - cov).abs().max() < 0.02
    assert not x.requires_grad


def test_ancestral_draws_of_binary_data_are_binary():
    model = VariationalAutoEncoder((1, 4, 4), 2, likelihood=Bernoulli())
    x = ancestral(model, 10)
    assert x.shape == (10, 1, 4, 4)
    assert set(x.unique().tolist()) == {0.0, 1.0}


def test_chains_that_cannot_move_are_refused():
    with pytest.raises(UsageError, match="sigma is 0: the chain needs"):
        denoising_chain(PointMass, torch.zeros(1, 1), sigma=0, steps=1)
    with pytest.raises(UsageError, match="step is -1: Langevin"):
        langevin(torch.neg, torch.zeros(1, 1), step=-1, n=1)


def test_annealed_langevin_ends_at_both_modes_in_their_proportions() -> None:
    """By the exact denoiser of data at ±m, which tells σ from x, as a network has to."""
    m, D = 2.0, 100

    def denoise(x: Tensor) -> Tensor:
        square = x.square().mean(1, keepdim=True) - m**2
        sigma2 = square.clamp(min=0.01)
        return m * (m * x.sum(1, keepdim=True) / sigma2).tanh().expand_as(x)

    x = 10 * torch.randn(2000, D)
    x = annealed_langevin(denoise, x, sigma=0.1, step=0.1, noise=0.2)
    distance = (x.abs() - m).square().mean(1).sqrt()
    assert float(distance.max()) < 0.15
    same = (x.sign() == x[:, :1].sign()).all(1)
    assert same.all()
    assert abs(float((x[:, 0] > 0).double().mean()) - 0.5) < 4.5 * 0.5 / 2000**0.5


def test_annealed_langevin_refuses_steps_that_lead_nowhere() -> None:
    for sigma, step, noise in ((0, 0.1, 0.2), (0.1, 0, 0.2), (0.1, 1.1, 0.2), (0.1, 0.1, 0)):
        with pytest.raises(UsageError, match=r"expected sigma above 0, the others in \(0, 1\]"):
            annealed_langevin(lambda x: x, torch.zeros(1, 1), sigma, step, noise)
