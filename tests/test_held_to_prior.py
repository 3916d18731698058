"""Who may sample from a prior, and which prior a penalty stands for."""

import math

import pytest
import torch
from torch import distributions as td

from ae_lightning import priors, systems
from ae_lightning.core.errors import UsageError
from ae_lightning.nn import Rectifier
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from ae_lightning.regularizers import L1, L2, MMD, Rate
from ae_lightning.samplers import ancestral
from ae_lightning.schedules import Linear
from helpers.closeness import close
from helpers.models import LATENT as K
from helpers.models import model_of
from helpers.penalties import B, batch_of, penalty_of

pytestmark = pytest.mark.filterwarnings("ignore::ae_lightning.regularizers.DegenerateObjective")
SHAPE = (1, 8, 8)
HELD = {
    "variational": lambda: systems.VariationalAutoEncoder(SHAPE),
    "importance weighted": lambda: systems.ImportanceWeightedAutoEncoder(SHAPE),
    "wasserstein": lambda: systems.UndercompleteAutoEncoder(SHAPE, regularizers={"mmd": MMD()}),
    "held at last": lambda: systems.StochasticAutoEncoder(
        SHAPE, regularizers={"rate": Rate(Linear(0, 1, steps=9))}
    ),
}
FREE = {
    "linear": lambda: systems.LinearAutoEncoder(SHAPE),
    "undercomplete": lambda: systems.UndercompleteAutoEncoder(SHAPE),
    "sparse": lambda: systems.SparseAutoEncoder(SHAPE),
    "contractive": lambda: systems.ContractiveAutoEncoder(SHAPE),
    "denoising": lambda: systems.DenoisingAutoEncoder(SHAPE),
    "stochastic": lambda: systems.StochasticAutoEncoder(SHAPE),
    "weight 0": lambda: systems.VariationalAutoEncoder(SHAPE, regularizers={"rate": Rate(0.0)}),
    "weight 0 at last": lambda: systems.VariationalAutoEncoder(
        SHAPE, regularizers={"rate": Rate(Linear(1, 0, steps=9))}
    ),
}


@pytest.mark.parametrize("make", HELD.values(), ids=HELD)
def test_a_model_that_is_held_to_its_prior_samples_from_it(make) -> None:
    model = make()
    torch.manual_seed(0)
    assert model.sample(3).shape == (3, *SHAPE)
    torch.manual_seed(0)
    assert model.sample(3).equal(model.decode(_drawn(model, 3)).mean)


def _drawn(model, n):
    torch.manual_seed(0)
    return model.prior().sample((n,))


@pytest.mark.parametrize("make", FREE.values(), ids=FREE)
def test_one_that_is_not_refuses_and_takes_a_density_of_codes(make) -> None:
    model = make()
    for sample in (model.sample, lambda n: ancestral(model, n)):
        with pytest.raises(UsageError, match=r"nothing holds the codes of this \w+ to its prior"):
            sample(3)
    with torch.no_grad():
        code = model.code(torch.rand(50, *SHAPE))
    density = td.Independent(td.Normal(code.mean(0), code.std(0) + 0.1), 1)
    assert model.sample(3, density).shape == ancestral(model, 3, density).shape == (3, *SHAPE)


def minus_log_prior(model, z) -> torch.Tensor:
    return -model.prior().log_prob(z) + model.prior().log_prob(z * 0)


@pytest.mark.parametrize("w", [0.3, 2.0])
@pytest.mark.parametrize("kind", [lambda w: L1(w, scale=0.7), L2])
def test_the_prior_is_what_the_penalty_on_the_code_says(kind, w) -> None:
    for posterior in (Dirac(), Dirac(Rectifier()), DiagonalGaussian(0.1)):
        model = model_of(posterior=posterior, regularizers={"small": kind(w)})
        out = model.propagate(batch_of())
        z = out.z.abs()
        out = out._replace(z=z)
        penalty = w * penalty_of(kind(w), model, out)
        assert close(penalty, minus_log_prior(model, z).mean(0))
        assert model.prior().log_prob(-z - 1).isinf().all() == isinstance(
            model.prior, priors.ExponentialPrior
        )


def test_the_sparse_system_is_the_map_code_of_a_one_sided_laplace_prior() -> None:
    prior = systems.SparseAutoEncoder(SHAPE).prior
    assert isinstance(prior, priors.ExponentialPrior)
    assert math.isclose(prior.scale, 1 / 0.3)


def test_a_prior_that_is_given_or_held_to_is_not_replaced() -> None:
    penalties = {"l1": L1(0.5)}
    given = model_of(regularizers=penalties, prior=priors.StandardNormal())
    held = systems.VariationalAutoEncoder(SHAPE, regularizers={"l1": L1(0.5)})
    for model in (given, held, model_of(regularizers={"l1": L1(0.0)})):
        assert isinstance(model.prior, priors.StandardNormal)


@pytest.mark.parametrize("make", [priors.GaussianMixture, lambda: priors.VampPrior(3)])
def test_a_learned_prior_under_mmd_gets_its_gradient(make) -> None:
    posterior = DiagonalGaussian()
    model = model_of(posterior=posterior, prior=make(), regularizers={"mmd": MMD(2.0)})
    model.objective(model.propagate(batch_of()))["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.prior.parameters())


def test_mmd_to_a_mixture_is_that_of_its_draws() -> None:
    prior = priors.GaussianMixture(components=3)
    model = model_of(posterior=Dirac(), prior=prior)
    with torch.no_grad():
        prior.logits.copy_(torch.tensor([2.0, 0.0, -1.0]))
    out = model.propagate(batch_of())
    z, k = out.z[0], MMD().kernel
    y = model.prior().sample((1500,))
    off = ~torch.eye(len(y), dtype=torch.bool)
    exact = k(y, y)[off].mean() - 2 * k(z, y).mean() + k(z, z).sum().sub(B) / (B * (B - 1))
    with torch.no_grad():
        draws = torch.stack([penalty_of(MMD(), model, out) for _ in range(300)])
    assert (draws.mean() - exact).abs() < 5 * draws.std() / len(draws) ** 0.5 + 0.01
    assert z.shape == (B, K)


def test_a_kernel_of_codes_far_from_the_origin_keeps_its_digits() -> None:
    k = MMD().kernel
    x, y = torch.randn(2, 40, 5)
    assert (k(x + 1000, y + 1000) - k(x, y)).abs().max() < 1e-3
