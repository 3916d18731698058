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
from ae_lightning.nn import MLP, Activation, ConvDecoder, ConvEncoder, Sigmoid
from ae_lightning.posteriors import Dirac
from helpers.closeness import close
from helpers.jacobians import ENCODERS, B, close_gradients, points, row_by_row
from helpers.models import LATENT as K
from helpers.models import SHAPE, model_of

# ----------------------------------------------------------------------- Jacobians


@pytest.mark.parametrize("encoder", ["affine", "two_hidden", "conv", "residual"])
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


def test_vector_jacobian_is_u_transposed_jacobian() -> None:
    model, x = model_of(ENCODERS["conv"]()), points()
    u = torch.randn(4, B, K, dtype=torch.float64)
    expected = torch.einsum("nbk,bkchw->nbchw", u, jacobian(model.code, x))
    assert close(vector_jacobian(model.code, x, u), expected)


# ----------------------------------------------------------------- tangents, score


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


class Squared(MLP):
    """What it inherits of an MLP knows nothing of the square."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.square())


class Doubled(ConvEncoder):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Shares(Activation):
    """Each code depends on every feature, which it need not say."""

    def forward(self, u: Tensor) -> Tensor:
        return u.softmax(1)


class Mixed(Sigmoid):
    def forward(self, u: Tensor) -> Tensor:
        return super().forward(u.cumsum(1))


@pytest.mark.parametrize(
    "parts",
    [
        lambda: (Squared([7]), Dirac()),
        lambda: (Doubled([4, 4], 6), Dirac()),
        lambda: (MLP([7]), Dirac(Shares())),
        lambda: (ConvEncoder([4, 4], 6), Dirac(Mixed())),
    ],
    ids=["Squared", "Doubled", "Shares", "Mixed"],
)
def test_what_a_subclass_changes_is_in_every_jacobian(parts) -> None:
    model, x = model_of(*parts()), points()
    J = jacobian(model.code, x).flatten(2)
    assert close(squared_jacobian(model, x), J.square().sum((1, 2)))
    u = torch.randn(4, *J.shape[:2], dtype=torch.float64)
    assert close(code_projections(model, x, u), torch.einsum("nbk,bkd->nbd", u, J))


def test_a_bernoulli_reconstruction_has_its_sigmoid_in_the_jacobian() -> None:
    model = AutoEncoder(SHAPE, K, MLP([7]), Dirac(), MLP([7]), Bernoulli()).double()
    x = points()
    slow = row_by_row(model.reconstruct, x).square().flatten(1).sum(1)
    assert close(squared_reconstruction_jacobian(model, x), slow)
