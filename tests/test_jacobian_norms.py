"""Norms and projections of Jacobians, the fast ways, against whole Jacobians."""

import pytest
import torch
from torch import Tensor

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.geometry import (
    code_projections,
    jacobian,
    squared_jacobian,
    squared_reconstruction_jacobian,
)
from ae_lightning.nn import MLP, Sigmoid, TopK, UnitNorm, UnitVariance
from ae_lightning.nn.mlp import RowNorms
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from helpers.closeness import close
from helpers.jacobians import ENCODERS, B, close_gradients, points, row_by_row
from helpers.models import LATENT as K
from helpers.models import model_of
from helpers.pairs import pair_of

POSTERIORS = {
    "plain": Dirac,
    "sigmoid": lambda: Dirac(Sigmoid()),
    "unit_variance": lambda: Dirac(UnitVariance()),
    "unit_norm": lambda: Dirac(UnitNorm()),
    "top_k": lambda: Dirac(TopK(2)),
    "gaussian": DiagonalGaussian,
}


def pass_of(model: AutoEncoder, x: Tensor):
    return model.propagate(pair_of(x))


# -------------------------------------------------------------- norms of Jacobians


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("encoder", ["affine", "one_hidden", "two_hidden", "conv", "residual"])
def test_squared_jacobian_is_autograds_and_so_are_its_gradients(
    encoder, posterior, training
) -> None:
    model, x = model_of(ENCODERS[encoder](), POSTERIORS[posterior]()).train(training), points()
    features = pass_of(model, x).features  # in training, sets the batch statistics too
    fast = squared_jacobian(model, x, features)
    slow = jacobian(model.code, x).square().flatten(1).sum(1)
    assert close(fast, slow)
    assert close(squared_jacobian(model, x), fast)
    close_gradients(model, fast.sum(), slow.sum())


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_code_projections_are_rows_of_the_jacobian(encoder, posterior) -> None:
    model, x = model_of(ENCODERS[encoder](), POSTERIORS[posterior]()).eval(), points()
    u = torch.randn(4, B, K, dtype=torch.float64)
    features = pass_of(model, x).features
    rows = torch.einsum("nbk,bkd->nbd", u, jacobian(model.code, x).flatten(2))
    assert close(code_projections(model, x, u), rows)
    assert close(code_projections(model, x, u, features), rows)
    close_gradients(
        model, code_projections(model, x, u, features).square().sum(), rows.square().sum()
    )


@pytest.mark.parametrize("latent", [3, 16, 20])
def test_squared_reconstruction_jacobian_is_autograds(latent) -> None:
    model, x = model_of(latent=latent), points()
    slow = row_by_row(model.reconstruct, x).square().flatten(1).sum(1)
    fast = squared_reconstruction_jacobian(model, x)
    assert close(fast, slow)
    close_gradients(model, fast.sum(), slow.sum())


def test_row_norms_has_the_right_gradient() -> None:
    A = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    W = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    assert close(RowNorms.apply(A, W), (A @ W).square().sum(-1))
    assert torch.autograd.gradcheck(RowNorms.apply, (A, W))
    assert torch.autograd.gradgradcheck(RowNorms.apply, (A, W))


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("encoder", ["two_hidden", "conv"])
def test_norms_are_the_same_without_gradients(encoder, posterior, off) -> None:
    model, x = model_of(ENCODERS[encoder](), POSTERIORS[posterior]()).eval(), points()
    expected = [squared_jacobian(model, x), squared_reconstruction_jacobian(model, x)]
    with off():
        features = pass_of(model, x).features
        values = [squared_jacobian(model, x, features), squared_reconstruction_jacobian(model, x)]
    for value, other in zip(values, expected, strict=True):
        assert not value.requires_grad
        assert close(value, other.detach())


def test_dropout_draws_one_mask_for_a_whole_jacobian() -> None:
    model, x = model_of(MLP([50], dropout=0.5)), points()
    torch.manual_seed(0)
    J = jacobian(model.code, x)
    torch.manual_seed(0)
    x.requires_grad_()
    code = model.code(x)
    rows = [torch.autograd.grad(code[:, k].sum(), x, retain_graph=True)[0] for k in range(K)]
    assert close(J, torch.stack(rows, 1))
    torch.manual_seed(0)
    assert close(squared_jacobian(model, x.detach()), J.square().flatten(1).sum(1))


# ---------------------------------------------------------------- batch statistics


def scaled(model: AutoEncoder, c: float) -> AutoEncoder:
    with torch.no_grad():
        for parameter in model.encoder.layers[-1].parameters():
            parameter *= c
    return model


@pytest.mark.parametrize("encoder", ["affine", "two_hidden"])
def test_a_unit_variance_code_gains_nothing_by_shrinking(encoder) -> None:
    penalties = []
    for c in (1e4, 1e6):  # so large that the variance's floor ε does not show
        model = scaled(model_of(ENCODERS[encoder](), Dirac(UnitVariance())), c)
        out = pass_of(model, points())
        penalties.append(squared_jacobian(model, out.x, out.features).sum())
    assert penalties[0].item() == pytest.approx(penalties[1].item(), rel=1e-8)
    # Euler: no change along the weights' own direction.
    W, b = model.encoder.layers[-1].parameters()
    gW, gb = torch.autograd.grad(penalties[1], (W, b))
    assert abs((gW * W).sum() + (gb * b).sum()) < 1e-8 * penalties[1]


def test_a_plain_code_gains_by_shrinking() -> None:
    model, x = model_of(), points()
    before = squared_jacobian(model, x)
    assert close(squared_jacobian(scaled(model, 0.1), x), before / 100)


@pytest.mark.parametrize("encoder", ["two_hidden", "conv", "residual"])
def test_jacobians_leave_the_running_statistics(encoder) -> None:
    model, x = model_of(ENCODERS[encoder](), Dirac(UnitVariance())), points()
    jacobian(model.code, x)  # before any batch was seen, by the running statistics
    activation = model.posterior.activation
    assert activation.variance.equal(torch.ones(K, dtype=torch.float64))
    pass_of(model, x)
    before = activation.mean.clone(), activation.variance.clone()
    for f in (model.code, model.reconstruct):
        jacobian(f, 2 * x)
    squared_jacobian(model, 2 * x)
    squared_reconstruction_jacobian(model, 2 * x)
    assert not activation.fixed
    assert activation.mean.equal(before[0])
    assert activation.variance.equal(before[1])
