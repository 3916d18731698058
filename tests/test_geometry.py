"""Jacobians, their spectra and tangents, and the score, against autograd and closed forms."""

import pytest
import torch
from torch import Tensor, nn

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.errors import UsageError
from ae_lightning.geometry import (
    code_projections,
    decoder_tangents,
    jacobian,
    score,
    spectrum,
    squared_jacobian,
    squared_reconstruction_jacobian,
    tangents,
    vector_jacobian,
)
from ae_lightning.likelihoods import Bernoulli
from ae_lightning.nn import (
    MLP,
    ConvDecoder,
    ConvEncoder,
    Sigmoid,
    TiedMLP,
    TopK,
    UnitNorm,
    UnitVariance,
)
from ae_lightning.nn.mlp import RowNorms
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from helpers.closeness import close
from helpers.models import LATENT as K
from helpers.models import SHAPE, model_of
from helpers.pairs import pair_of

B = 5

POSTERIORS = {
    "plain": Dirac,
    "sigmoid": lambda: Dirac(Sigmoid()),
    "unit_variance": lambda: Dirac(UnitVariance()),
    "unit_norm": lambda: Dirac(UnitNorm()),
    "top_k": lambda: Dirac(TopK(2)),
    "gaussian": DiagonalGaussian,
}
ENCODERS = {
    "affine": lambda: MLP([]),
    "one_hidden": lambda: MLP([7]),
    "two_hidden": lambda: MLP([7, 6], activation="Tanh"),
    "conv": lambda: ConvEncoder([4, 4], hidden=6),
    "dropout": lambda: MLP([7], dropout=0.5),
}


def points(n=B, shape=SHAPE) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(n, *shape, generator=generator, dtype=torch.float64)


def pass_of(model: AutoEncoder, x: Tensor):
    return model.propagate(pair_of(x))


def row_by_row(f, x: Tensor) -> Tensor:
    """∂f/∂x by one call of autograd an example: (B, *K, *S)."""
    one = torch.autograd.functional.jacobian
    return torch.stack([one(lambda t: f(t[None])[0], xi, create_graph=True) for xi in x])


# ------------------------------------------------------------------ Jacobians


@pytest.mark.parametrize("encoder", ["affine", "two_hidden", "conv"])
@pytest.mark.parametrize("chunk", [None, 1, 2])
def test_jacobian_of_an_encoder_is_autograds(encoder, chunk) -> None:
    model, x = model_of(ENCODERS[encoder]()), points()
    J = jacobian(model.code, x, chunk)
    assert J.shape == (B, K, *SHAPE)
    assert close(J, row_by_row(model.code, x))


@pytest.mark.parametrize("decoder", [lambda: MLP([7]), lambda: ConvDecoder([4, 4], hidden=6)])
@pytest.mark.parametrize("chunk", [None, 2])
def test_jacobian_of_a_decoder_column_by_column_is_autograds(decoder, chunk) -> None:
    model, z = model_of(decoder=decoder()), points(shape=(K,))
    J = jacobian(lambda z: model.decode(z).mean, z, chunk)
    assert J.shape == (B, *SHAPE, K)
    assert close(J, row_by_row(lambda z: model.decode(z).mean, z))


def test_jacobian_of_a_scalar_is_its_gradient() -> None:
    x = points()
    assert close(jacobian(lambda x: x.square().flatten(1).sum(1), x), 2 * x)


@pytest.mark.parametrize("rows", ["encoder", "decoder"])
def test_jacobian_is_differentiable_in_the_weights(rows) -> None:
    model, x, z = model_of(), points(), points(shape=(K,))
    f, at = (model.code, x) if rows == "encoder" else (lambda z: model.decode(z).mean, z)
    close_gradients(model, jacobian(f, at).square().sum(), row_by_row(f, at).square().sum())


def close_gradients(model: AutoEncoder, a: Tensor, b: Tensor, tolerance: float = 1e-10) -> None:
    parameters = list(model.parameters())
    options = dict(allow_unused=True, materialize_grads=True)
    for ga, gb in zip(
        torch.autograd.grad(a, parameters, retain_graph=True, **options),
        torch.autograd.grad(b, parameters, **options),
        strict=True,
    ):
        assert close(ga, gb, tolerance)


def test_vector_jacobian_is_u_transposed_jacobian() -> None:
    model, x = model_of(ENCODERS["conv"]()), points()
    u = torch.randn(4, B, K, dtype=torch.float64)
    expected = torch.einsum("nbk,bkchw->nbchw", u, jacobian(model.code, x))
    assert close(vector_jacobian(model.code, x, u), expected)


# ---------------------------------------------------------- norms of Jacobians


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("encoder", ["affine", "one_hidden", "two_hidden", "conv"])
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


def test_one_sigmoid_layer_has_a_closed_form() -> None:
    """Σ_k (h_k (1 − h_k))² ‖W_k‖²."""
    model, x = model_of(MLP([]), Dirac(Sigmoid()), TiedMLP()), points()
    h, W = model.code(x), model.encoder.layers[0].weight
    expected = ((h * (1 - h)).square() * W.square().sum(1)).sum(1)
    assert close(squared_jacobian(model, x), expected)
    assert close(row_by_row(model.code, x).square().flatten(1).sum(1), expected)


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


# -------------------------------------------------------- batch statistics


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


@pytest.mark.parametrize("encoder", ["two_hidden", "conv"])
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


# ------------------------------------------------------------ tangents, score


def linear_map(out: int, into: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A matrix U diag(s) Vᵀ and its factors."""
    k = min(out, into)
    U = torch.linalg.qr(torch.randn(out, k, dtype=torch.float64)).Q
    V = torch.linalg.qr(torch.randn(into, k, dtype=torch.float64)).Q
    s = torch.arange(k, 0, -1, dtype=torch.float64)
    return U * s @ V.T, U, s, V


def test_tangents_of_a_linear_map_are_its_right_singular_vectors() -> None:
    W, _, s, V = linear_map(4, 6)
    x = points(shape=(2, 3))
    vectors, values = tangents(lambda x: x.flatten(1) @ W.T, x, k=2)
    assert vectors.shape == (B, 2, 2, 3)
    assert close(values, s.expand(B, 4))
    assert close(
        torch.einsum("bkd,dk->bk", vectors.flatten(2), V[:, :2]).abs(), torch.ones(B, 2).double()
    )
    assert close(spectrum(lambda x: x.flatten(1) @ W.T, x, chunk=3), s.expand(B, 4))


def test_decoder_tangents_of_a_linear_map_are_its_left_singular_vectors() -> None:
    W, U, s, _ = linear_map(6, 4)
    vectors, values = decoder_tangents(lambda z: (z @ W.T).unflatten(1, (2, 3)), points(shape=(4,)))
    assert vectors.shape == (B, 4, 2, 3)
    assert close(values, s.expand(B, 4))
    assert close(torch.einsum("bkd,dk->bk", vectors.flatten(2), U).abs(), torch.ones(B, 4).double())


def optimal_denoiser(mu: Tensor, Sigma: Tensor, sigma: float) -> AutoEncoder:
    """r*(x̃) = μ + Σ (Σ + σ²I)⁻¹ (x̃ − μ), as two affine maps."""
    D = len(mu)
    model = model_of(MLP([]), Dirac(), MLP([]), latent=D, shape=(D,))
    encoder, decoder = model.encoder.layers[0], model.decoder.layers[0]
    with torch.no_grad():
        encoder.weight.copy_(torch.eye(D))
        encoder.bias.copy_(-mu)
        decoder.weight.copy_(Sigma @ torch.linalg.inv(Sigma + sigma**2 * torch.eye(D).double()))
        decoder.bias.copy_(mu)
    return model


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0])
def test_the_optimal_denoiser_of_gaussian_data_gives_the_smoothed_score(sigma) -> None:
    D = 5
    mu, A = torch.randn(D).double(), torch.randn(D, D).double()
    Sigma, noise = A @ A.T, sigma**2 * torch.eye(D).double()
    model, x_tilde = optimal_denoiser(mu, Sigma, sigma), points(shape=(D,)).requires_grad_()
    smoothed = torch.distributions.MultivariateNormal(mu, Sigma + noise)
    [expected] = torch.autograd.grad(smoothed.log_prob(x_tilde).sum(), x_tilde)
    assert close(score(model, x_tilde, sigma), expected, 1e-9)
    # Its Jacobian is the posterior covariance over σ², and so symmetric.
    J = jacobian(model.reconstruct, x_tilde)
    posterior = Sigma - Sigma @ torch.linalg.inv(Sigma + noise) @ Sigma
    assert close(J, (posterior / sigma**2).expand(B, D, D), 1e-9)
    assert close(J, J.mT, 1e-9)


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan")])
def test_a_score_without_noise_is_refused(sigma) -> None:
    with pytest.raises(UsageError, match="sigma is"):
        score(model_of(), points(), sigma)


def test_the_score_of_a_mass_function_is_refused() -> None:
    with pytest.raises(UsageError, match="mass function"):
        score(model_of(), torch.zeros(B, *SHAPE, dtype=torch.uint8), 0.1)


def test_a_users_network_needs_no_more_than_build_and_forward() -> None:
    from ae_lightning.nn import Network

    class Mine(Network):
        def build(self, inputs, outputs, mirror=None) -> None:
            self.map = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.GELU(), nn.Linear(5, K))

        def forward(self, x: Tensor) -> Tensor:
            return self.map(x)

    model, x = model_of(Mine(), Dirac(Sigmoid())), points()
    assert close(squared_jacobian(model, x), row_by_row(model.code, x).square().flatten(1).sum(1))


def test_a_bernoulli_reconstruction_has_its_sigmoid_in_the_jacobian() -> None:
    model = AutoEncoder(SHAPE, K, MLP([7]), Dirac(), MLP([7]), Bernoulli()).double()
    x = points()
    slow = row_by_row(model.reconstruct, x).square().flatten(1).sum(1)
    assert close(squared_reconstruction_jacobian(model, x), slow)
