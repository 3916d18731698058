"""A posterior of one's own says what its code is; Jacobians, metrics and evaluation follow."""

import pytest
import torch
from torch import Tensor
from torch import distributions as td

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.distributions import sample_by_index
from ae_lightning.geometry import code_projections, jacobian, squared_jacobian
from ae_lightning.posteriors import DiagonalGaussian, Dirac, Posterior
from ae_lightning.regularizers import Contractive, ContractiveHessian, Rate
from helpers.closeness import close
from helpers.models import model_of
from helpers.pairs import pair_of
from helpers.penalties import batch_of, penalty_of

pytestmark = pytest.mark.filterwarnings("ignore::ae_lightning.regularizers.DegenerateObjective")


class Squashed(Posterior):
    """q = N(3 tanh μ, 1)."""

    stochastic = True

    def features(self, latent: int) -> int:
        return latent

    def forward(self, features: Tensor) -> td.Distribution:
        return td.Independent(td.Normal(3 * features.tanh(), 1.0, validate_args=False), 1)


class SquashedGaussian(DiagonalGaussian):
    """The same by inheritance, which says nothing of the code."""

    def forward(self, features: Tensor) -> td.Distribution:
        q = super().forward(features)
        return td.Independent(td.Normal(3 * q.mean.tanh(), q.stddev), 1)


class Swapped(Posterior):
    """A code made of the last features, each times another."""

    stochastic = True

    def features(self, latent: int) -> int:
        return 2 * latent

    def forward(self, features: Tensor) -> td.Distribution:
        a, b = features.chunk(2, 1)
        return td.Independent(td.Normal(b * a.flip(1), 1.0, validate_args=False), 1)


class Flow(Posterior):
    """z = sinh(ε): a flow, without a mean in closed form, whose code is its median."""

    stochastic = True

    def features(self, latent: int) -> int:
        return 2 * latent

    def forward(self, features: Tensor) -> td.Distribution:
        mu, log_sigma = features.chunk(2, 1)
        base = td.Independent(td.Normal(mu, log_sigma.exp(), validate_args=False), 1)
        return td.TransformedDistribution(base, [Sinh()], validate_args=False)

    def code(self, features: Tensor) -> Tensor:
        return features.chunk(2, 1)[0].sinh()


class Relaxed(Posterior):
    """A relaxed one-hot code, which has no mean either."""

    stochastic = True

    def features(self, latent: int) -> int:
        return latent

    def forward(self, features: Tensor) -> td.Distribution:
        t = torch.tensor(0.7, dtype=features.dtype)
        return td.RelaxedOneHotCategorical(t, logits=features, validate_args=False)

    def code(self, features: Tensor) -> Tensor:
        return features.softmax(1)


class Sinh(td.Transform):
    domain, codomain, bijective, sign = td.constraints.real, td.constraints.real, True, 1

    def _call(self, x: Tensor) -> Tensor:
        return x.sinh()

    def _inverse(self, y: Tensor) -> Tensor:
        return y.asinh()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return x.cosh().log()


CODES = pytest.mark.parametrize("kind", [Squashed, SquashedGaussian, Swapped, Flow, Relaxed])


@CODES
def test_every_jacobian_is_that_of_the_code(kind) -> None:
    model, x = model_of(posterior=kind()), batch_of().x
    J = jacobian(model.code, x).flatten(2)
    assert close(squared_jacobian(model, x), J.square().sum((1, 2)))
    u = torch.randn(4, *J.shape[:2]).double()
    assert close(code_projections(model, x, u), torch.einsum("nbk,bkd->nbd", u, J))


@CODES
def test_two_penalties_that_are_equal_agree(kind) -> None:
    model = model_of(posterior=kind())
    out = model.propagate(batch_of())
    same = penalty_of(ContractiveHessian(gamma=0.0), model, out)
    assert close(penalty_of(Contractive(), model, out), same)


@pytest.mark.parametrize("kind", [Flow, Relaxed])
def test_a_posterior_without_a_mean_trains_and_evaluates(kind) -> None:
    model = model_of(posterior=kind(), regularizers={"rate": Rate(0.1)})
    model.objective(model.propagate(batch_of()))["loss"].backward()
    model.eval()
    out = model.propagate(batch_of())
    terms = model.objective(out)
    metric = model.evaluations["val"]
    metric.update(model, out, terms)
    values = metric.compute()
    assert values["elbo"].isfinite()
    assert close(values["kl"], (out.q.log_prob(out.z) - model.prior().log_prob(out.z)).mean())


def test_without_a_code_the_sentence_says_what_to_define() -> None:
    class Mute(Flow):
        code = Posterior.code

    model = model_of(posterior=Mute())
    with pytest.raises(UsageError, match=r"Mute has no mean in closed form: let it define code"):
        model.code(batch_of().x)


@pytest.mark.parametrize(
    "q",
    [
        lambda mu: td.Independent(td.LogNormal(mu, 1.0), 1),
        lambda mu: td.Independent(td.Independent(td.Laplace(mu[..., None], 1.0), 1), 1),
        lambda mu: td.TransformedDistribution(td.Independent(td.LogNormal(mu, 1.0), 1), [Sinh()]),
    ],
)
def test_the_noise_of_products_of_transforms_belongs_to_the_example(q) -> None:
    mu, index = torch.randn(5, 3).double(), torch.arange(5)
    z = sample_by_index(q(mu), 2, 0, index)
    assert z[:, 3:].equal(sample_by_index(q(mu[3:]), 2, 0, index[3:]))


def test_the_noise_of_a_flow_belongs_to_the_example() -> None:
    q = Flow()(torch.randn(5, 6).double())
    z = sample_by_index(q, 2, 0, torch.arange(5))
    two = td.TransformedDistribution(
        td.Independent(td.Normal(q.base_dist.mean[3:], q.base_dist.stddev[3:]), 1), [Sinh()]
    )
    assert z[:, 3:].equal(sample_by_index(two, 2, 0, torch.arange(3, 5)))


@pytest.mark.parametrize("kind", [Dirac, Squashed])
def test_a_model_in_half_precision_penalises_single_precision_derivatives(kind) -> None:
    model = model_of(posterior=kind()).float()
    x = batch_of().x.float()
    pair: Pair = pair_of(x)
    exact = penalty_of(Contractive(), model, model.propagate(pair))
    with torch.autocast("cpu", torch.bfloat16):
        out = model.propagate(pair)
        assert out.features.dtype == torch.bfloat16
        assert penalty_of(Contractive(), model, out).equal(exact)
        u = penalty_of(Contractive(projections=50), model.train(), out)
    assert abs(float(u.mean() / exact.mean()) - 1) < 0.3
