"""Toys know their own density, score and tangents, and sprites what made them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import rebuild
from ae_lightning.datamodules import (
    Manifold,
    MixtureOfGaussians,
    Ring,
    Spiral,
    Sprites,
    SwissRoll,
    Toy,
)
from ae_lightning.datamodules.sprites import draw_shapes

TOYS = [
    MixtureOfGaussians(),
    Ring(),
    Ring(dimension=10),
    Ring(noise=0.05),
    Spiral(),
    SwissRoll(),
]
CURVED = TOYS[1:]


def name(toy: Toy) -> str:
    return f"{type(toy).__name__}{toy.dimension}"


def near(toy: Toy, n: int = 20, sigma: float = 0.2) -> Tensor:
    g = Generator().manual_seed(0)
    x = toy.sample(n, g).double()
    return x + sigma * torch.randn(x.shape, generator=g, dtype=torch.float64)


@pytest.mark.parametrize("toy", TOYS, ids=name)
class TestEvery:
    def test_the_score_is_the_gradient_of_the_log_density(self, toy: Toy):
        x = near(toy).requires_grad_()
        (gradient,) = torch.autograd.grad(toy.log_prob(x, 0.2).sum(), x)
        assert torch.allclose(toy.score(x.detach(), 0.2), gradient, atol=1e-10)

    def test_the_log_density_is_that_of_the_smoothed_samples(self, toy: Toy):
        """p_σ(x) = E N(x; sample, σ²I): by Monte Carlo over samples."""
        x, sigma, n = near(toy, 8, 0.1), 0.3, 50_000
        samples = toy.sample(n, Generator().manual_seed(1)).double()
        squares = torch.cdist(x, samples).square()
        kernel = torch.exp(-squares / (2 * sigma**2)) / (2 * math.pi * sigma**2) ** (
            toy.dimension / 2
        )
        mean, error = kernel.mean(1), kernel.std(1) / math.sqrt(n)
        assert ((toy.log_prob(x, sigma).exp() - mean).abs() < 4.5 * error).all()

    def test_far_away_the_score_points_home(self, toy: Toy):
        x = 1e3 * torch.nn.functional.normalize(near(toy), dim=1)
        score = toy.score(x, 0.1)
        assert score.isfinite().all()
        assert (torch.cosine_similarity(score, -x) > 0.99).all()

    def test_the_density_integrates_to_one(self, toy: Toy):
        if toy.dimension != 2:
            pytest.skip("a grid in more than two dimensions is too large")
        side = torch.linspace(-4, 4, 161, dtype=torch.float64)
        grid = torch.cartesian_prod(side, side)
        total = toy.log_prob(grid, 0.1).exp().sum() * (side[1] - side[0]) ** 2
        assert total == pytest.approx(1, abs=1e-6)

    def test_is_rebuilt_from_its_record(self, toy: Toy):
        again = rebuild(toy.record)
        assert torch.equal(again.means, toy.means)
        assert again.width == toy.width


def test_a_single_gaussian_has_its_closed_form():
    toy, x = MixtureOfGaussians(centres=[[1.0, 2.0, 3.0]], width=0.5), torch.randn(9, 3).double()
    scale = math.sqrt(0.5**2 + 0.7**2)
    p = torch.distributions.Normal(toy.means[0], scale)
    assert torch.allclose(toy.log_prob(x, 0.7), p.log_prob(x).sum(1), atol=1e-12)
    assert torch.allclose(toy.score(x, 0.7), (toy.means - x) / scale**2, atol=1e-12)


def test_a_ring_has_its_closed_form():
    """p_σ(x) = exp(−(r² + R²)/2σ²) I₀(rR/σ²)/2πσ² at radius r."""
    x, sigma, R = near(Ring(), 50), 0.05, 1.0
    r = x.norm(dim=1)
    scaled_bessel = torch.special.i0e(r * R / sigma**2).log()
    expected = scaled_bessel - (r - R) ** 2 / (2 * sigma**2) - math.log(2 * math.pi * sigma**2)
    assert torch.allclose(Ring().log_prob(x, sigma), expected, atol=1e-10)


@pytest.mark.parametrize("toy", CURVED, ids=name)
class TestCurved:
    def test_tangents_are_orthonormal_and_touch_the_manifold(self, toy):
        g = Generator().manual_seed(0)
        low, high = toy.low, toy.high
        t = low + (high - low) * (0.05 + 0.9 * torch.rand(30, len(low), generator=g).double())
        x = toy.point(t)
        T = toy.tangents(x)  # (B, k, D)
        k = len(low)
        assert torch.allclose(T @ T.mT, torch.eye(k).double().expand(30, k, k), atol=1e-12)
        # A small step along the manifold leaves the tangent space by its square only.
        for epsilon in (1e-3, 1e-4):
            step = toy.point(t + epsilon) - x
            off = step - torch.einsum("bkd,bke,be->bd", T, T, step)
            assert (off.norm(dim=1) < 20 * epsilon * step.norm(dim=1)).all()

    def test_parameters_invert_points(self, toy):
        g = Generator().manual_seed(0)
        low, high = toy.low, toy.high
        t = low + (high - low) * (0.05 + 0.9 * torch.rand(30, len(low), generator=g).double())
        assert torch.allclose(toy.parameters(toy.point(t)), t, atol=1e-10)

    def test_tangents_beside_the_manifold_are_those_of_the_foot(self, toy):
        x = toy.sample(30, Generator().manual_seed(0)).double()
        foot = toy.point(toy.parameters(x))
        normal = torch.randn(x.shape, dtype=torch.float64)
        T = toy.tangents(foot)
        normal = normal - torch.einsum("bkd,bke,be->bd", T, T, normal)
        beside = foot + 0.01 * normal / normal.norm(dim=1, keepdim=True)
        angle = torch.linalg.svdvals(toy.tangents(beside) @ T.mT).amin(1)  # cosine of the largest
        assert (angle > 1 - 1e-9).all()


@pytest.mark.parametrize("toy", [Ring(), SwissRoll()], ids=name)
def test_too_little_smoothing_is_refused(toy):
    with pytest.raises(UsageError, match=r"^sigma is 0\.0: \w+ is a density only when smoothed"):
        toy.score(toy.sample(3))
    least = toy.spacing
    assert toy.log_prob(toy.sample(3), 1.01 * least).isfinite().all()
    with pytest.raises(UsageError, match="exact only for sigma of at least"):
        toy.log_prob(toy.sample(3), 0.9 * least)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MixtureOfGaussians(width=0),
        lambda: MixtureOfGaussians(centres=[[0.0], [1.0, 2.0]]),
        lambda: Ring(radius=-1),
        lambda: Ring(dimension=1),
        lambda: Spiral(turns=0),
        lambda: SwissRoll(noise=-1),
        lambda: Manifold(size=2),
        lambda: Sprites(size=0),
    ],
)
def test_arguments_that_are_refused(make):
    with pytest.raises(UsageError, match="expected"):
        make()


def test_manifold_gives_its_toys_samples_unbounded():
    data = Manifold(Ring(dimension=10), size=100)
    assert (data.shape, data.value_range) == ((10,), None)
    pair = data.pairs("train", range(80))
    assert torch.allclose(pair.x.norm(dim=1), torch.ones(80))
    assert pair.y.unique().tolist() == list(range(10))


# --------------------------------------------------------------------------------- sprites


def test_sprites_are_what_their_factors_say():
    data = Sprites(size=50)
    index = [3, 1, 4]
    factors = data.factors("val", index)
    pair = data.pairs("val", index)
    drawn = draw_shapes(factors[:, :4], factors[:, 4].long())
    assert (pair.x - drawn).abs().max() <= 0.5 / 255 + 1e-5
    assert torch.equal(pair.y, factors[:, 4].long())


def test_sprites_splits_are_drawn_apart_and_fixed_by_the_split_seed():
    one, other, third = Sprites(50), Sprites(50, seed=5), Sprites(50, split_seed=1)
    rows = range(5)
    assert torch.equal(one.factors("train", rows), other.factors("train", rows))
    assert not torch.equal(one.factors("train", rows), third.factors("train", rows))
    assert not torch.equal(one.factors("train", rows), one.factors("val", rows))


def test_the_tangents_of_sprites_are_their_derivatives():
    data = Sprites(size=50)
    index = list(range(12))
    factors, shape = data._all("train")
    factors, shape = factors[index], shape[index]
    T = data.tangents("train", index)
    assert T.shape == (12, 4, 1, 32, 32)
    for k in range(4):
        h = torch.zeros(4).double()
        h[k] = 1e-6
        difference = (draw_shapes(factors + h, shape) - draw_shapes(factors - h, shape)) / 2e-6
        off = (T[:, k].double() - difference).abs()
        # A square and a triangle have corners, on whose diagonals a pixel may lie by chance.
        assert off.flatten().quantile(0.999) < 1e-4 * difference.abs().max()


def test_a_sprite_moves_right_and_down_with_x_and_y():
    side = torch.linspace(-1 + 1 / 32, 1 - 1 / 32, 32).double()
    for shape in range(3):
        factors = torch.tensor([[0.0, 0.0, 0.4, 0.0], [0.2, 0.3, 0.4, 0.0]]).double()
        x = draw_shapes(factors, torch.tensor([shape, shape]))[:, 0]
        mass = x.sum((1, 2))
        right = (x.sum(1) @ side) / mass
        down = (x.sum(2) @ side) / mass
        assert (right[1] - right[0]).item() == pytest.approx(0.2, abs=1e-3)
        assert (down[1] - down[0]).item() == pytest.approx(0.3, abs=1e-3)


def test_a_sprite_turns_with_its_rotation():
    quarter = torch.tensor([[0.0, 0.0, 0.5, 0.0], [0.0, 0.0, 0.5, math.pi / 2]]).double()
    for shape in range(3):
        x = draw_shapes(quarter, torch.tensor([shape, shape]))[:, 0]
        assert torch.allclose(x[1], x[0].rot90(-1), atol=1e-10)
