"""Divergences between posterior and prior against quadrature, closed forms and double sums."""

import math

import pytest
import torch
from torch import Tensor
from torch import distributions as td

from ae_lightning import priors
from ae_lightning.core.types import ForwardPass
from ae_lightning.posteriors import DiagonalGaussian
from ae_lightning.regularizers import (
    MMD,
    GaussianKernel,
    InverseMultiquadratic,
    Rate,
)
from ae_lightning.schedules import Clock, Linear
from helpers.closeness import close
from helpers.models import LATENT as K
from helpers.models import SHAPE, model_of
from helpers.penalties import B, batch_of, gaussian_pass, penalised, penalty_of

pytestmark = pytest.mark.filterwarnings("ignore::ae_lightning.regularizers.DegenerateObjective")


def test_rate_without_a_closed_form_is_monte_carlo() -> None:
    model = penalised({"rate": Rate()}, DiagonalGaussian(), prior=priors.GaussianMixture())
    out = model.propagate(batch_of())
    p = model.prior()
    assert close(
        penalty_of(Rate(), model, out), (out.q.log_prob(out.z) - p.log_prob(out.z)).mean(0)
    )


def test_monte_carlo_rate_agrees_with_quadrature() -> None:
    mu, sigma = torch.tensor([[0.7]]).double(), torch.tensor([[0.5]]).double()
    model = model_of(posterior=DiagonalGaussian(), latent=1, prior=priors.GaussianMixture())
    q, p = td.Normal(mu[0], sigma[0]), model.prior()
    t = torch.linspace(-5, 6, 200_001).double()
    ratio = q.log_prob(t) - p.log_prob(t[:, None])
    exact = torch.trapezoid(q.log_prob(t).exp() * ratio, t).item()
    estimate = penalty_of(Rate(), model, gaussian_pass(mu, sigma, R=200_000)).item()
    assert estimate == pytest.approx(exact, abs=0.02)


def test_free_bits_are_free_on_the_batch_mean_of_each_dimension() -> None:
    mu = torch.tensor([[0.0, 2.0, 0.1], [1.0, 0.0, 0.1]]).double()
    out = gaussian_pass(mu, torch.ones_like(mu))
    model = penalised({}, DiagonalGaussian())
    rates = mu.square() / 2  # (B, K), at σ = 1; batch means .25, 1, .005
    expected = 0.3 + 1.0 + 0.3
    assert close(penalty_of(Rate(free_bits=0.3), model, out), expected)
    assert close(penalty_of(Rate(free_bits=1e-9), model, out), rates.sum(1).mean())


def test_free_bits_leave_no_pull_below_them() -> None:
    mu = torch.tensor([[0.1, 3.0, 0.0]]).double().requires_grad_()
    out = gaussian_pass(mu, torch.ones_like(mu))
    [gradient] = torch.autograd.grad(penalty_of(Rate(free_bits=0.5), penalised(), out), mu)
    assert close(gradient, torch.tensor([[0.0, 3.0, 0.0]]))


@pytest.mark.parametrize("free_bits", [0.0, 0.3])
def test_capacity_holds_the_mean_rate_to_it(free_bits) -> None:
    model = penalised({}, DiagonalGaussian())
    out = model.propagate(batch_of())
    R = penalty_of(Rate(free_bits=free_bits), model, out).mean()
    assert close(penalty_of(Rate(free_bits=free_bits, capacity=7.0), model, out), (7 - R).abs())
    assert close(penalty_of(Rate(free_bits=free_bits, capacity=0), model, out), R)
    model.clock = Clock(step=5)
    rising = Rate(free_bits=free_bits, capacity=Linear(0, 20, steps=10))
    assert close(penalty_of(rising, model, out), (10 - R).abs())


def slow_mmd(k, z: Tensor, y: Tensor) -> float:
    n, total = len(z), 0.0
    for i in range(n):
        for j in range(n):
            if i != j:
                total += (k(z[i], z[j]) + k(y[i], y[j])) / (n * (n - 1))
            total -= 2 * k(z[i], y[j]) / n**2
    return total


@pytest.mark.parametrize(
    ("kernel", "k"),
    [
        (None, lambda t: 1 / (1 + t)),
        (InverseMultiquadratic(2.0), lambda t: 1 / (1 + t / 4)),
        (GaussianKernel(0.5), lambda t: math.exp(-4 * t)),
    ],
)
def test_mmd_is_its_double_sum(kernel, k) -> None:
    model = penalised({}, DiagonalGaussian(), samples=2)
    out = model.propagate(batch_of())
    torch.manual_seed(5)
    penalty = penalty_of(MMD(kernel=kernel), model, out)
    torch.manual_seed(5)
    y = model.prior().sample((B,))

    def kernel_by_hand(a: Tensor, b: Tensor) -> float:
        return k((a - b).square().sum().item() / (2 * K))

    assert close(penalty, sum(slow_mmd(kernel_by_hand, z, y) for z in out.z) / 2)


@pytest.mark.parametrize("kernel", [None, GaussianKernel()])
def test_mmd_is_unbiased_and_tells_distributions_apart(kernel) -> None:
    model, values = penalised(), []
    for shift in (0.0, 1.0):
        n, empty = 64, torch.zeros(64, *SHAPE).double()
        draws = []
        for _ in range(200):
            z = torch.randn(1, n, K).double() + shift
            out = ForwardPass(empty, empty, z[0], model.prior(), z, model.prior())
            draws.append(penalty_of(MMD(kernel=kernel), model, out))
        values.append(torch.stack(draws))
    equal, apart = values
    assert abs(equal.mean()) < 4 * equal.std() / math.sqrt(len(equal))
    assert equal.min() < 0 < apart.min()


def test_mmd_of_a_batch_of_one_is_finite() -> None:
    model = penalised().eval()
    assert penalty_of(MMD(), model, model.propagate(batch_of(1))).isfinite()
