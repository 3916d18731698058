"""Score fields are those of Gaussians and of their optimal denoiser."""

import math

import numpy as np
import pytest
import torch
from matplotlib.quiver import Quiver

from ae_lightning import systems
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.callbacks import ScoreField, score_field
from ae_lightning.callbacks.drawing.fields import plane_of_three, reach
from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.corruptions import GaussianNoise, Masking
from ae_lightning.datamodules import Digits, Manifold, MixtureOfGaussians
from ae_lightning.likelihoods import Laplace
from helpers.linear import linear

WIDTH, SIGMA = 0.8, 0.3


def denoiser(shape: tuple[int, ...]) -> AutoEncoder:
    """The optimal denoiser of N(0, WIDTH² I), r(x̃) = x̃ WIDTH²/(WIDTH² + SIGMA²)."""
    eye = torch.eye(math.prod(shape))
    return linear(WIDTH**2 / (WIDTH**2 + SIGMA**2) * eye, eye, shape)


def gaussian(n: int, shape: tuple[int, ...]) -> Pair:
    x = WIDTH * torch.randn(n, *shape).double()
    x_tilde = x + SIGMA * torch.randn_like(x)
    return Pair(x_tilde, x, torch.arange(n) % 10, torch.arange(n))


def arrows(axes) -> tuple[np.ndarray, np.ndarray]:
    """Where a panel's arrows stand, and what they are: (n, 2) each."""
    (quiver,) = (c for c in axes.collections if isinstance(c, Quiver))
    return quiver.XY, np.stack([quiver.U, quiver.V], axis=1)


def test_the_arrows_are_the_score_of_a_gaussian() -> None:
    toy = MixtureOfGaussians(centres=[[0.0, 0.0]], width=WIDTH)
    figure = score_field(denoiser((2,)), gaussian(500, (2,)), SIGMA, toy)
    for axes in figure.axes[:2]:  # learned, analytic
        at, drawn = arrows(axes)
        assert len(at) > 50
        assert np.allclose(drawn, -at / (WIDTH**2 + SIGMA**2), atol=1e-5)
    error = figure.axes[2].images[0].get_array()
    assert error.compressed().max() < 1e-5
    assert "0.0%" in figure.axes[2].get_title(loc="left")
    assert "cosine 1.000" in figure.axes[2].get_title(loc="left")


def apart_from(x: torch.Tensor, points: np.ndarray) -> np.ndarray:
    """How far each point (n, 2) is from the nearest example."""
    return torch.cdist(torch.as_tensor(points).double(), x).amin(1).numpy()


def seen(image, x: torch.Tensor) -> np.ndarray:
    """Which values of an image (n, n) lie where the noise reaches from the examples."""
    left, right, low, high = image.get_extent()
    n = len(image.get_array())
    u, v = (a + (np.arange(n) + 0.5) * (b - a) / n for a, b in ((left, right), (low, high)))
    points = np.stack(np.meshgrid(u, v), axis=2).reshape(-1, 2)
    return (apart_from(x, points) <= reach(SIGMA, 2)).reshape(n, n)


def test_a_field_ends_smoothly_at_what_the_noise_reaches() -> None:
    pair = gaussian(60, (2,))
    figure = score_field(denoiser((2,)), pair, SIGMA, MixtureOfGaussians([[0.0, 0.0]], WIDTH))
    error, contours = figure.axes[2].images[0], figure.axes[0].collections[0]
    for drawn in (error, contours):
        path, to = drawn.get_clip_path().get_transformed_path_and_affine()
        edge = figure.axes[2].transData.inverted().transform(to.transform(path.vertices))
        if drawn is contours:
            edge = figure.axes[0].transData.inverted().transform(to.transform(path.vertices))
        off = np.abs(apart_from(pair.x, edge) - reach(SIGMA, 2))
        assert np.median(off) < 0.001  # a cell is 0.1 wide
        assert off.max() < 0.05  # where two discs meet
    assert not np.isnan(error.get_array()[seen(error, pair.x)]).any()


def test_a_wrong_denoiser_shows_its_error() -> None:
    toy = MixtureOfGaussians(centres=[[0.0, 0.0]], width=WIDTH)
    lazy, pair = linear(torch.eye(2), torch.eye(2)), gaussian(500, (2,))  # r(x) = x: no score
    figure = score_field(lazy, pair, SIGMA, toy)
    assert "100.0%" in figure.axes[2].get_title(loc="left")
    at, _ = arrows(figure.axes[1])
    most = np.linalg.norm(at, axis=1).max() * SIGMA / (WIDTH**2 + SIGMA**2)
    image = figure.axes[2].images[0]
    assert image.get_array()[seen(image, pair.x)].max() == pytest.approx(most, rel=0.1)


def test_the_error_is_drawn_in_cells_far_narrower_than_the_noise() -> None:
    data = Manifold(size=600, corruption=GaussianNoise(SIGMA))  # errors lie on lines between modes
    figure = score_field(denoiser((2,)), data.pairs("val", range(50)), SIGMA, data.toy)
    image = figure.axes[2].images[0]
    left, right, *_ = image.get_extent()
    assert (right - left) / len(image.get_array()) < SIGMA / 4


def test_without_a_known_density_the_learned_field_stands_alone() -> None:
    figure = score_field(denoiser((2,)), gaussian(200, (2,)), SIGMA)
    assert len(figure.axes) == 1
    at, drawn = arrows(figure.axes[0])
    assert np.allclose(drawn, -at / (WIDTH**2 + SIGMA**2), atol=1e-5)


def test_places_far_from_all_data_are_left_blank() -> None:
    pair = gaussian(50, (2,))
    pair = pair._replace(x=pair.x + 6.0 * (pair.x[:, :1] > 0))  # two clusters, and a gap
    toy = MixtureOfGaussians(centres=[[0.0, 0.0], [6.0, 6.0]], width=WIDTH)
    figure = score_field(denoiser((2,)), pair, SIGMA, toy)
    at, _ = arrows(figure.axes[0])
    apart = torch.cdist(torch.as_tensor(np.array(at)).double(), pair.x).amin(1)
    assert float(apart.max()) <= reach(SIGMA, 2)
    blank = np.isnan(figure.axes[2].images[0].get_array().filled(np.nan))
    assert 0.3 < blank.mean() < 0.95
    assert blank[-1, 0]
    assert blank[blank.shape[0] // 2, blank.shape[1] // 2]


def test_noise_seldom_reaches_beyond_the_radius() -> None:
    for D in (2, 10, 784):
        lengths = torch.randn(20_000, D).norm(dim=1)
        assert 0 < float((lengths > reach(1.0, D)).float().mean()) < 0.005


def test_the_plane_of_three_holds_them_and_prefers_other_labels() -> None:
    x = torch.randn(5, 1, 3, 3)
    (origin, directions), corners, places = plane_of_three(x, torch.tensor([7, 7, 3, 3, 5]))
    assert places == [0, 2, 4]
    assert torch.allclose(directions @ directions.T, torch.eye(2), atol=1e-6)
    assert torch.allclose(origin + corners @ directions, x[places].flatten(1), atol=1e-5)
    assert plane_of_three(x, torch.zeros(5))[2] == [0, 1, 2]


def test_images_show_the_field_in_the_plane_of_three_and_the_denoised_images() -> None:
    shape = (1, 4, 4)
    model, pair = denoiser(shape), gaussian(12, shape)
    figure = score_field(model, pair, SIGMA)
    (origin, directions), _, _ = plane_of_three(pair.x, pair.y)
    (panel,) = (a for a in figure.axes if "plane" in a.get_title(loc="left"))
    at, drawn = arrows(panel)
    expected = -(at + (directions @ origin).numpy()) / (WIDTH**2 + SIGMA**2)
    assert np.allclose(drawn, expected, atol=1e-5)
    names = [t.get_text() for t in figure.axes[0].texts]
    assert names == ["x", "x̃ = x + σε", "score s", "x̃ + σ²s"]
    limits = pair.x[:6].min(), pair.x[:6].max()
    denoised = (model.reconstruct(pair.x_tilde)[0, 0] - limits[0]) / (limits[1] - limits[0])
    grid = figure.axes[0].images[0].get_array()  # 4 rows of images of 4 × 4, 1 apart
    assert np.allclose(grid[15:19, :4, 0], denoised.detach().clamp(0, 1), atol=1e-5)
    s = ((model.reconstruct(pair.x_tilde) - pair.x_tilde) / SIGMA**2)[0, 0].detach()
    red, _, blue = grid[10:14, :4].transpose(2, 0, 1)
    assert ((red > blue) == (s > 0).numpy())[s.abs() > s.abs().max() / 8].all()


@pytest.mark.parametrize("corruption", [None, Masking(p=0.3), GaussianNoise(sigma=0.0)])
def test_a_score_field_needs_gaussian_corruption(corruption) -> None:
    model = systems.UndercompleteAutoEncoder((1, 8, 8))
    with pytest.raises(UsageError, match=r"trained with Gaussian corruption.*GaussianNoise"):
        ScoreField().picture(model, Digits(corruption=corruption))


@pytest.mark.parametrize("sigma", [0.0, -0.1, math.nan])
def test_a_score_field_needs_a_positive_sigma(sigma) -> None:
    with pytest.raises(UsageError, match=f"sigma is {sigma}: expected"):
        score_field(denoiser((2,)), gaussian(10, (2,)), sigma)


def test_a_score_field_needs_a_mean_and_absolute_error_fits_a_median() -> None:
    model = systems.DenoisingAutoEncoder((1, 8, 8), likelihood=Laplace())
    with pytest.raises(UsageError, match="not Laplace"):
        ScoreField().picture(model, Digits(corruption=GaussianNoise(sigma=0.1)))


def test_the_callback_takes_sigma_and_density_from_the_data() -> None:
    toy = MixtureOfGaussians(centres=[[0.0, 0.0]], width=WIDTH)
    data = Manifold(toy, size=2000, corruption=GaussianNoise(sigma=SIGMA))
    figure = ScoreField().picture(denoiser((2,)).float(), data)
    assert f"= {SIGMA}" in figure.get_suptitle()
    assert "0.0%" in figure.axes[2].get_title(loc="left")
