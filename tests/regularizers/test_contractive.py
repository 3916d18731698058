"""Contractive penalties against autograd, closed forms and their limits."""

import pytest
import torch
from torch import Tensor

from ae_lightning.core.types import Pair
from ae_lightning.likelihoods import Bernoulli, Gaussian
from ae_lightning.nn import MLP, ConvEncoder
from ae_lightning.regularizers import Contractive, ContractiveHessian, ReconstructionContractive
from helpers.closeness import close
from helpers.models import LATENT as K
from helpers.models import SHAPE
from helpers.penalties import B, batch_of, penalised, penalty_of, squared_norm
from helpers.training import loader, quiet_trainer

pytestmark = pytest.mark.filterwarnings("ignore::ae_lightning.regularizers.DegenerateObjective")


def slow_jacobian(f, x: Tensor) -> Tensor:
    one = torch.autograd.functional.jacobian
    return torch.stack([one(lambda t: f(t[None])[0].flatten(), xi).flatten(1) for xi in x])


@pytest.mark.parametrize("corrupted", [False, True])
@pytest.mark.parametrize("encoder", [lambda: MLP([]), lambda: MLP([7, 5]), ConvEncoder])
def test_contractive_is_the_squared_jacobian_at_the_clean_input(encoder, corrupted) -> None:
    model = penalised(encoder=encoder())
    out = model.propagate(batch_of(corrupted=corrupted))
    assert close(
        penalty_of(Contractive(), model, out), squared_norm(slow_jacobian(model.code, out.x))
    )


@pytest.mark.parametrize(
    ("projected", "f"),
    [
        (Contractive(projections=1), "code"),
        (ReconstructionContractive(projections=1), "reconstruct"),
        (ContractiveHessian(gamma=0.0, projections=1), "code"),
    ],
)
@pytest.mark.parametrize("encoder", [lambda: MLP([7]), lambda: ConvEncoder([4], hidden=5)])
def test_a_random_projection_is_unbiased_with_the_known_variance(projected, f, encoder) -> None:
    """E‖uᵀJ‖² = ‖J‖²_F, with variance 2‖JJᵀ‖²_F."""
    n, model = 40_000, penalised(encoder=encoder())
    one = batch_of(1)
    out = model.propagate(Pair(*(t.expand(n, *t.shape[1:]) for t in one)))
    draws = penalty_of(projected, model, out).detach()  # (n,) independent draws at one point
    [J] = slow_jacobian(getattr(model, f), one.x)
    exact, variance = J.square().sum(), 2 * (J @ J.T).square().sum()
    assert draws.mean() / exact == pytest.approx(1, abs=0.02)
    assert draws.var() / variance == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    ("projected", "f"),
    [
        (Contractive(projections=4), "code"),
        (ReconstructionContractive(projections=4), "reconstruct"),
        (ContractiveHessian(gamma=0.0, projections=4), "code"),
    ],
)
def test_more_projections_are_averaged(projected, f) -> None:
    model, one = penalised(), batch_of(1)
    out = model.propagate(Pair(*(t.expand(20_000, *t.shape[1:]) for t in one)))
    [J] = slow_jacobian(getattr(model, f), one.x)
    draws = penalty_of(projected, model, out).detach()
    assert draws.mean() / J.square().sum() == pytest.approx(1, abs=0.02)
    variance = 2 * (J @ J.T).square().sum() / 4
    assert draws.var() / variance == pytest.approx(1, abs=0.1)


def test_evaluation_of_a_projected_penalty_is_exact() -> None:
    model = penalised().eval()
    out = model.propagate(batch_of())
    J, J_r = slow_jacobian(model.code, out.x), slow_jacobian(model.reconstruct, out.x)
    assert close(penalty_of(Contractive(projections=1), model, out), squared_norm(J))
    assert close(penalty_of(ReconstructionContractive(), model, out), squared_norm(J_r))
    assert close(
        penalty_of(ContractiveHessian(gamma=0.0, projections=1), model, out), squared_norm(J)
    )


@pytest.mark.parametrize("likelihood", [Gaussian, Bernoulli])
def test_reconstruction_contractive_is_the_squared_jacobian_of_r(likelihood) -> None:
    model = penalised(likelihood=likelihood())
    out = model.propagate(batch_of(corrupted=True))
    expected = squared_norm(slow_jacobian(model.reconstruct, out.x))
    assert close(penalty_of(ReconstructionContractive(projections=None), model, out), expected)


def test_contractive_hessian_adds_how_much_the_jacobian_changes() -> None:
    model, gamma, sigma, samples = penalised(), 3.0, 0.2, 4
    out = model.propagate(batch_of())
    torch.manual_seed(8)
    penalty = penalty_of(ContractiveHessian(1.0, gamma, sigma, samples), model, out)
    torch.manual_seed(8)
    epsilon = sigma * torch.randn(samples, B, *SHAPE, dtype=torch.float64)
    J = slow_jacobian(model.code, out.x)
    changes = [squared_norm(J - slow_jacobian(model.code, out.x + e)) for e in epsilon]
    assert close(penalty, squared_norm(J) + gamma * torch.stack(changes).mean(0))


def test_contractive_hessian_tends_to_the_hessian() -> None:
    """E‖J(x) − J(x + ε)‖² → σ² ‖∂²f/∂x²‖² as σ → 0."""
    model, sigma = penalised().eval(), 1e-3
    out = model.propagate(batch_of(2))
    change = penalty_of(ContractiveHessian(1.0, 1.0, sigma, 3000), model, out) - penalty_of(
        Contractive(), model, out
    )
    hessian = torch.autograd.functional.hessian
    for i, x in enumerate(out.x):
        H = torch.stack([hessian(lambda t, k=k: model.code(t[None])[0, k], x) for k in range(K)])
        assert change[i].item() == pytest.approx(sigma**2 * H.square().sum().item(), rel=0.05)


def test_contractive_works_in_validation(tmp_path) -> None:
    model = penalised({"c": Contractive(0.1, projections=1), "h": ContractiveHessian(0.1)})
    trainer = quiet_trainer(tmp_path, inference_mode=False)
    [values] = trainer.validate(model, loader([batch_of()]), verbose=False)
    exact = squared_norm(slow_jacobian(model.eval().code, batch_of().x)).mean()
    assert values["val/c"] == pytest.approx(exact.item(), rel=1e-6)
    assert values["val/jacobian"] == pytest.approx(exact.item(), rel=1e-6)
