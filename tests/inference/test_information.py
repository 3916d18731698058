"""What a code tells: of Gaussian channels by formulas, of functions of them, of any density."""

import math

import pytest
import torch
from torch import distributions as td

from ae_lightning.core.errors import UsageError
from ae_lightning.distributions import IndependentNormal
from ae_lightning.inference.measures.figures import Settings
from ae_lightning.inference.measures.information import information, rows_of, told_by_parameters
from ae_lightning.nn import MLP
from ae_lightning.posteriors import DiagonalGaussian, Posterior
from helpers.measured import by_name, inputs_of, trained_of
from helpers.models import model_of

FEW = Settings(samples=20, repeats=3, subset=40, batch_size=16)


def channel(x: torch.Tensor, sigma: float = 0.5, posterior: Posterior | None = None):
    """What z = x + σ ε, or a function of it, tells of x."""
    D = x.shape[1]
    model = model_of(MLP([]), posterior or DiagonalGaussian(sigma), shape=(D,), latent=D)
    model.encoder.layers[0].weight.data.copy_(torch.eye(D))
    model.encoder.layers[0].bias.data.zero_()
    return by_name(information(trained_of(model), inputs_of(x), FEW))


def gaussian(correlation: float, n: int = 1500) -> torch.Tensor:
    C = torch.tensor([[1.0, correlation], [correlation, 1.0]]).double()
    return torch.randn(n, 2).double() @ torch.linalg.cholesky(C).T


@pytest.mark.parametrize("rho", [0.0, 0.6, 0.9])
def test_the_parts_of_the_rate_of_a_gaussian_channel_are_its_formulas(rho):
    found = channel(gaussian(rho), sigma := 0.5)
    total = torch.tensor([1 + sigma**2 + rho, 1 + sigma**2 - rho]).double()  # variances of z
    mutual = float((total / sigma**2).log().sum() / 2)
    dependence = float((1 + sigma**2) ** 2 / total.prod())
    one = (total.mean() - 1 - total.mean().log()) / 2
    assert found["mutual_information"].value == pytest.approx(mutual, abs=0.1)
    assert found["total_correlation"].value == pytest.approx(math.log(dependence) / 2, abs=0.1)
    assert found["kl_of_elements"].value == pytest.approx(2 * float(one), abs=0.06)
    assert found["active_units"].value == 2


class Exponentiated(Posterior):
    """e^z of z ~ N(x, σ²), by a density of torch's or by a product of transforms."""

    stochastic = True

    def __init__(self, known: bool) -> None:
        super().__init__()
        self.known = known

    def features(self, latent: int) -> int:
        return latent

    def forward(self, features: torch.Tensor) -> td.Distribution:
        if self.known:
            return td.Independent(td.LogNormal(features, 0.5), 1)
        made = td.TransformedDistribution(td.Normal(features, 0.5), [td.ExpTransform()])
        return td.Independent(made, 1)

    def code(self, features: torch.Tensor) -> torch.Tensor:
        return features.exp()


def test_an_invertible_function_of_each_element_keeps_what_the_code_tells():
    x = gaussian(0.6)
    found, same = channel(x, posterior=Exponentiated(known=True)), channel(x)
    for name in ("mutual_information", "total_correlation", "total_correlation_bias"):
        assert found[name].value == pytest.approx(same[name].value, abs=1e-6)


def test_of_a_product_of_densities_that_are_not_known_only_the_active_units_are_counted():
    assert channel(gaussian(0.6), posterior=Exponentiated(known=False)).keys() == {"active_units"}


@pytest.mark.parametrize(
    ("base", "known"),
    [
        (td.Beta(torch.ones(4, 2), torch.ones(4, 2)), True),
        (td.Gumbel(torch.ones(4, 2), torch.ones(4, 2)), True),
        (td.TransformedDistribution(td.Normal(torch.ones(4, 2), 1.0), []), False),
        (IndependentNormal(torch.ones(4, 2, 1), torch.tensor(0.0), 1), False),
    ],
)
def test_rows_of_a_distribution_are_those_of_its_samples(base, known):
    assert told_by_parameters(base) is known
    if known:
        rows, value = torch.tensor([2, 0, 1]), base.sample()
        assert rows_of(base, rows).log_prob(value[rows]).equal(base.log_prob(value)[rows])


def test_the_bias_of_the_total_correlation_is_told():
    x = torch.randn(1500, 8).double()
    found = channel(x, 0.2)
    told, bias = found["total_correlation"], found["total_correlation_bias"]
    assert bias.value > 1  # independent codes, and yet
    assert told.value == pytest.approx(bias.value, abs=0.3)
    assert "M = 256, N = 1,500" in told.note


def test_a_copied_element_costs_the_total_correlation_of_itself():
    x = torch.randn(1500, 1).double().expand(-1, 2)
    assert channel(x, 0.5)["total_correlation"].value == pytest.approx(
        math.log(1.25**2 / (2.25 * 0.25)) / 2, abs=0.1
    )


def test_a_point_has_no_information():
    with pytest.raises(UsageError, match="Dirac puts all mass on one code"):
        information(trained_of(model_of()), inputs_of(torch.rand(9, 1, 4, 4)))
