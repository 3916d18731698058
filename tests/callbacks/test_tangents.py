"""Tangents are those of circles and linear maps."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ae_lightning import systems
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.callbacks import TangentDirections, tangent_directions
from ae_lightning.callbacks.drawing.examples import choose
from ae_lightning.callbacks.drawing.tangents import (
    local_pca,
    nearest_neighbours,
    of_decoder,
    of_encoder,
    of_reconstruction,
    principal_angles,
    share,
)
from ae_lightning.datamodules import Manifold, Ring, Sprites
from ae_lightning.nn import UnitNorm
from helpers.linear import linear


def ring(dimension: int) -> tuple[Manifold, AutoEncoder]:
    """A circle, and the autoencoder that knows it: f(x) = Px/‖Px‖, g(z) = Pᵀz."""
    toy = Ring(dimension=dimension)
    return Manifold(toy, size=400), linear(toy.plane, toy.plane.T, activation=UnitNorm())


@pytest.mark.parametrize("dimension", [2, 10])
@pytest.mark.parametrize("of", [of_encoder, of_reconstruction])
def test_the_tangents_of_a_circle(dimension, of) -> None:
    data, model = ring(dimension)
    x = data.toy.sample(30).double()
    with torch.no_grad():
        learned, values = of(model, x, 1)
    angles = principal_angles(learned, data.toy.tangents(x))
    assert float(angles.max()) < 1e-4  # degrees
    assert torch.allclose(values[:, 0], torch.ones(30).double(), atol=1e-6)
    assert float(values[:, 1].max()) < 1e-6


def test_the_decoders_tangents_are_its_columns_span() -> None:
    W = torch.linalg.qr(torch.randn(9, 2).double()).Q @ torch.diag(
        torch.tensor([3.0, 2.0]).double()
    )
    model = linear(torch.randn(2, 9).double(), W, shape=(1, 3, 3))
    tangents, values = of_decoder(model, torch.randn(4, 1, 3, 3).double(), 2)
    assert torch.allclose(values, torch.tensor([3.0, 2.0]).double().expand(4, 2))
    assert torch.allclose((tangents.flatten(2) @ W / values[:, None]).abs(), torch.eye(2).double())


@pytest.mark.parametrize("latent", [3, 12])
def test_the_reconstructions_tangents_are_those_of_its_whole_jacobian(latent) -> None:
    W_f, W_g = torch.randn(latent, 9).double(), torch.randn(9, latent).double()
    tangents, values = of_reconstruction(linear(W_f, W_g), torch.randn(2, 9).double(), 3)
    U, S, _ = torch.linalg.svd(W_g @ W_f)
    assert torch.allclose(values[:, :3], S[:3].expand(2, 3), rtol=1e-10)
    assert torch.allclose((tangents @ U[:, :3]).abs(), torch.eye(3).double(), atol=1e-8)


def test_the_logged_angle_on_a_circle_is_that_of_a_known_map() -> None:
    data = Manifold(Ring(), size=400)
    # f(x) = (2x₁, x₂) is most sensitive to x₁, and the tangent at x is (−x₂, x₁).
    model = linear(torch.diag(torch.tensor([2.0, 1.0])), torch.eye(2)).float()
    callback = TangentDirections(of=of_encoder)
    callback.picture(model, data)
    x = choose(data, 100).x
    expected = x[:, 1].abs().clamp(max=1).acos().rad2deg().median()
    measured = callback.measure(model, choose(data, 100))["tangent_angle"]
    assert measured == pytest.approx(float(expected), abs=1e-3)


def test_the_logged_angle_of_the_true_map_is_zero_and_drawn_lines_cover_the_true_ones() -> None:
    data, model = ring(10)
    callback = TangentDirections(of=of_reconstruction)
    figure = callback.picture(model.float(), data)
    assert callback.measure(model, choose(data, 100))["tangent_angle"] < 0.1
    true, learned = (np.array(c.get_segments()) for c in figure.axes[0].collections[1:])
    gaps = (
        np.linalg.norm(true - learned, axis=2).max(1),
        np.linalg.norm(true - learned[:, ::-1], axis=2).max(1),
    )
    assert np.minimum(*gaps).max() < 1e-3


def test_sprites_are_measured_against_the_tangents_of_the_very_images() -> None:
    data = Sprites(size=100)

    def knows(model, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        true = data.tangents("val", choose(data, len(x)).places.tolist())
        V = torch.linalg.svd(true.flatten(2), full_matrices=False).Vh[:, :k]
        return V.unflatten(2, data.shape), torch.ones(len(x), 4)

    callback = TangentDirections(items=8, of=knows)
    model = systems.UndercompleteAutoEncoder(data.shape)
    assert callback.measure(model, choose(data, 8)) == {}  # nothing is known of no data
    callback.picture(model, data)
    assert callback.measure(model, choose(data, 8))["tangent_angle"] < 0.1


def test_principal_angles_of_planes() -> None:
    e = torch.eye(4)
    tilted = math.cos(math.pi / 6) * e[1] + math.sin(math.pi / 6) * e[2]
    true = torch.stack([3 * e[0], e[0] + e[1]])[None]  # spans e₀, e₁
    assert torch.allclose(
        principal_angles(torch.stack([e[0], tilted])[None], true),
        torch.tensor([[0.0, 30.0]]).double(),
        atol=1e-5,
    )
    # A vector too few misses a dimension; a true vector too many counts for nothing.
    assert principal_angles(e[None, :1], true)[0, 1] == 90
    flat = torch.stack([e[0], 1e-5 * e[1]])[None]
    angles = principal_angles(e[None, :2], flat)
    assert angles[0, 0] < 1e-5
    assert angles[0, 1].isnan()


def test_neighbours_are_the_nearest_but_for_oneself_and_their_directions_the_datas() -> None:
    line = torch.linspace(0, 1, 50)[:, None] * torch.tensor([[3.0, 4.0]]) / 5
    near = nearest_neighbours(line[20:21], line, 4)[0]
    assert sorted(near.tolist()) == line[[18, 19, 21, 22]].tolist()
    assert not (nearest_neighbours(100 + line, 100 + line, 4) == (100 + line)[:, None]).all(2).any()
    pca = local_pca(near[None], 1)
    assert torch.allclose(pca[0, 0], torch.tensor([0.6, 0.8]), atol=1e-5)


def test_beside_directions_stands_the_walk_along_their_own_first() -> None:
    W = torch.linalg.qr(torch.randn(16, 2).double()).Q
    model = linear(W.T, W, shape=(1, 4, 4))
    x = torch.rand(3, 1, 4, 4).double()
    near = x[:, None] + 0.3 * torch.rand(3, 5, 1, 4, 4).double()
    figure = tangent_directions(model, x, near, k=2, of=of_decoder)
    labels = [t.get_text() for t in figure.axes[1].texts]
    span = float((near - x[:, None]).flatten(2).norm(dim=2).mean())
    assert labels[2] == "x"
    assert float(labels[-1]) == pytest.approx(span, abs=0.05)
    low, high = float(x.min()), float(x.max())
    kinds = of_decoder(model, x[:1], 1)[0][0, 0, 0], local_pca(near[:1], 1)[0, 0, 0]
    for line, t in enumerate(kinds):
        shown = figure.axes[1].images[0].get_array()[5 * line : 5 * line + 4, :, 0]
        for column, alpha in ((0, -span), (2, 0.0), (4, span)):
            expected = ((x[0, 0] + alpha * t.detach() - low) / (high - low)).clamp(0, 1)
            assert np.allclose(shown[:, 5 * column : 5 * column + 4], expected, atol=1e-5)


def test_the_share_of_neighbours_variance_is_that_of_a_projection() -> None:
    near = torch.randn(2, 500, 1, 3, 3) * torch.tensor([3.0, 1, 1, 1, 1, 1, 1, 1, 1]).view(1, 3, 3)
    axes = torch.eye(9).view(9, 1, 3, 3).expand(2, -1, -1, -1, -1)
    assert share(axes[:, :1], near) == pytest.approx(9 / 17, abs=0.05)
    assert share(axes[:, 1:2], near) == pytest.approx(1 / 17, abs=0.02)
    assert share(axes, near) == pytest.approx(1, abs=1e-5)
    most = share(local_pca(near, 2), near)
    assert all(share(axes[:, list(two)], near) <= most for two in ((0, 1), (0, 5), (3, 4)))


def test_the_title_says_what_the_tangents_hold_and_that_there_is_no_gap() -> None:
    x = torch.rand(6, 1, 4, 4).double()
    near = nearest_neighbours(x, x, 4)
    W = torch.linalg.qr(torch.randn(16, 16).double()).Q

    def title(*scales: float) -> str:
        D = torch.diag(torch.tensor(scales).double())
        model = linear(W[:, : len(scales)].T, W[:, : len(scales)] @ D, shape=(1, 4, 4))
        return tangent_directions(model, x, near, k=2, of=of_decoder).get_suptitle()

    assert "σ2/σ3 = 5.00\n" in title(10, 10, 2)
    assert "σ2/σ3 = 1.11 (no gap)\n" in title(10, 10, 9)
    assert "σ2/σ3" not in title(10, 10)
    assert "σ2/σ3 = 1.00 (no gap)\n" in title(10, 1e-14, 1e-15)  # rounding errors both
    assert "σ2/σ3 = 1,000,000\n" in title(10, 10, 0)
    assert "\nit is 0, so that these are any directions" in title(0, 0, 0)
    assert "12.5% at random" in title(10, 10, 2)
    learned = torch.linalg.svd(W[:, :2], full_matrices=False).U.T.reshape(1, 2, 1, 4, 4)
    held = share(learned.expand(3, -1, -1, -1, -1), near[:3])
    own = share(local_pca(near[:3], 2), near[:3])
    assert f"variance: {held:.0%} held, {own:.0%} at best" in title(10, 10, 2)


def test_a_density_that_fills_its_space_has_no_tangents() -> None:
    data, model = Manifold(size=100), systems.VariationalAutoEncoder((2,), 2, value_range=None)
    assert TangentDirections().suits(model, data) == (
        "tangents are those of a curve or a surface, and a MixtureOfGaussians fills its space."
    )
    assert TangentDirections().suits(model, Manifold(Ring(), size=100)) is None
    assert TangentDirections().suits(model, None) is None


def test_a_larger_code_without_a_penalty_is_said_to_have_no_gap() -> None:
    x = torch.rand(6, 1, 4, 4)
    near = nearest_neighbours(x, x, 4)
    free = systems.UndercompleteAutoEncoder((1, 4, 4), latent=20)
    assert "no gap in its spectrum" in tangent_directions(free, x, near).get_suptitle()
    held = systems.ContractiveAutoEncoder((1, 4, 4), latent=20)
    title = tangent_directions(held, x, near).get_suptitle()
    assert "nothing makes this larger code choose" not in title
    assert "reconstruction's Jacobian, σ5/σ6 = " in title
