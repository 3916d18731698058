"""Penalties on the code are priors, by an independent formula each."""

import math

import pytest
import torch
from torch import distributions as td

from ae_lightning.nn import Sigmoid
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from ae_lightning.regularizers import L1, L2, SparsityKL, StudentT
from helpers.closeness import close
from helpers.models import LATENT as K
from helpers.pairs import pair_of
from helpers.penalties import batch_of, penalised, penalty_of

pytestmark = pytest.mark.filterwarnings("ignore::ae_lightning.regularizers.DegenerateObjective")


@pytest.mark.parametrize("posterior", [lambda: Dirac(Sigmoid()), DiagonalGaussian])
def test_priors_as_penalties_are_their_densities_but_for_constants(posterior) -> None:
    """−log Laplace(z; λ) = λ‖z‖₁ − K log(λ/2), and the like."""
    model = penalised({}, posterior(), samples=3)
    out, lam = model.propagate(batch_of()), 2.5
    z = out.z
    laplace = td.Laplace(torch.zeros(()).double(), 1 / lam)
    for penalty in (lam * penalty_of(L1(), model, out), penalty_of(L1(scale=1 / lam), model, out)):
        assert close(penalty - K * math.log(lam / 2), -laplace.log_prob(z).sum(-1).mean(0))
    for regularizer, prior in {
        L2(): td.Normal(torch.zeros(()).double(), 1.0),
        StudentT(df=3.0, scale=0.4): td.StudentT(3.0, torch.zeros(()).double(), 0.4),
    }.items():
        constant = prior.log_prob(torch.zeros(()).double())
        assert close(
            penalty_of(regularizer, model, out), (constant - prior.log_prob(z)).sum(-1).mean(0)
        )
    assert close(penalty_of(StudentT(), model, out), z.square().log1p().sum(-1).mean(0))


def test_sparsity_is_the_divergence_of_batch_mean_activations() -> None:
    model, rho = penalised(), 0.1
    out = model.propagate(batch_of())
    rho_hat = out.q.mean.mean(0)
    by_hand = rho * (rho / rho_hat).log() + (1 - rho) * ((1 - rho) / (1 - rho_hat)).log()
    assert close(penalty_of(SparsityKL(target=rho), model, out), by_hand.sum())


@pytest.mark.parametrize("u", [-10.0, -20.0, -60.0])
def test_a_unit_that_is_all_but_silent_is_pulled_up_in_single_precision(u) -> None:
    """∂/∂u KL(ρ ‖ sigmoid(u)) = sigmoid(u) − ρ, summed over the batch."""
    model, rho = penalised().float(), 0.1
    out = model.propagate(pair_of(batch_of().x.float()))
    features = torch.full_like(out.features, u, requires_grad=True)
    penalty = penalty_of(SparsityKL(target=rho), model, out._replace(features=features))
    slope = torch.autograd.grad(penalty, features)[0].sum(0)
    assert close(slope, torch.sigmoid(torch.full_like(slope, u)) - rho, 1e-6)


def test_sparsity_of_saturated_units_is_finite() -> None:
    model = penalised()
    with torch.no_grad():
        model.encoder.layers[-1].bias.copy_(torch.tensor([-1e4, 1e4, 0.0]))
    out = model.propagate(batch_of())
    assert penalty_of(SparsityKL(), model, out).isfinite()
