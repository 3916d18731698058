"""Pictures of geometry: what they draw is what is known of Gaussians, circles and linear maps."""

import math
import textwrap

import numpy as np
import pytest
import torch
from matplotlib.quiver import Quiver
from torch import Tensor

from ae_lightning import systems
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.callbacks import (
    ContractionCurve,
    JacobianSpectrum,
    ScoreField,
    TangentDirections,
    contraction_curve,
    jacobian_spectrum,
    score_field,
    tangent_directions,
)
from ae_lightning.callbacks.contraction_curve import contraction_ratios
from ae_lightning.callbacks.drawing.examples import choose
from ae_lightning.callbacks.drawing.fields import plane_of_three, reach
from ae_lightning.callbacks.drawing.images import signed_colours
from ae_lightning.callbacks.drawing.tangents import (
    local_pca,
    nearest_neighbours,
    of_decoder,
    of_encoder,
    of_reconstruction,
    principal_angles,
)
from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.corruptions import GaussianNoise, Masking
from ae_lightning.datamodules import Digits, Manifold, MixtureOfGaussians, Ring, Sprites
from ae_lightning.likelihoods import Gaussian, Laplace
from ae_lightning.nn import MLP, Identity, UnitNorm
from ae_lightning.posteriors import Dirac
from helpers.interpreter import python

PICTURES = (ScoreField, TangentDirections, JacobianSpectrum, ContractionCurve)
WIDTH, SIGMA = 0.8, 0.3


def linear(W_encoder: Tensor, W_decoder: Tensor, shape=None, activation=None) -> AutoEncoder:
    """f(x) = a(W₁x), g(z) = W₂z."""
    K, D = W_encoder.shape
    model = AutoEncoder(
        shape=shape or (D,),
        latent=K,
        encoder=MLP(widths=()),
        posterior=Dirac(activation),
        decoder=MLP(widths=()),
        likelihood=Gaussian(),
        value_range=None,
    ).double()
    with torch.no_grad():
        for network, W in ((model.encoder, W_encoder), (model.decoder, W_decoder)):
            network.layers[0].weight.copy_(W)
            network.layers[0].bias.zero_()
    return model.eval()


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


# -------------------------------------------------------------------------- score field


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


def test_a_wrong_denoiser_shows_its_error() -> None:
    toy = MixtureOfGaussians(centres=[[0.0, 0.0]], width=WIDTH)
    lazy = linear(torch.eye(2), torch.eye(2))  # r(x) = x: no score at all
    figure = score_field(lazy, gaussian(500, (2,)), SIGMA, toy)
    assert "100.0%" in figure.axes[2].get_title(loc="left")
    at, _ = arrows(figure.axes[1])
    most = np.linalg.norm(at, axis=1).max() * SIGMA / (WIDTH**2 + SIGMA**2)
    assert figure.axes[2].images[0].get_array().compressed().max() == pytest.approx(most, rel=0.1)


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


# ----------------------------------------------------------------------------- tangents


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


def test_walks_go_along_the_tangent() -> None:
    W = torch.linalg.qr(torch.randn(16, 2).double()).Q
    model = linear(W.T, W, shape=(1, 4, 4))
    x = torch.rand(3, 1, 4, 4).double()
    figure = tangent_directions(model, x, x.roll(1, 0)[:, None] + 0.3, k=2, of=of_decoder)
    shown = figure.axes[1].images[0].get_array()[:4, :, 0]  # the walk along t₁ of the first
    labels = [t.get_text() for t in figure.axes[1].texts if t.get_ha() == "center"]
    assert labels[2] == "x"
    low, high = float(x.min()), float(x.max())
    t = of_decoder(model, x[:1], 1)[0][0, 0, 0].detach()
    span = float((x.roll(1, 0)[:, None] + 0.3 - x[:, None]).flatten(2).norm(dim=2).mean())
    assert float(labels[-1]) == pytest.approx(span, abs=0.05)
    for column, alpha in ((0, -span), (2, 0.0), (4, span)):
        expected = ((x[0, 0] + alpha * t - low) / (high - low)).clamp(0, 1)
        assert np.allclose(shown[:, 5 * column : 5 * column + 4], expected, atol=1e-5)


def test_a_larger_code_without_a_penalty_is_said_to_have_no_gap() -> None:
    x = torch.rand(6, 1, 4, 4)
    near = nearest_neighbours(x, x, 4)
    free = systems.UndercompleteAutoEncoder((1, 4, 4), latent=20)
    assert "no gap in its spectrum" in tangent_directions(free, x, near).get_suptitle()
    held = systems.ContractiveAutoEncoder((1, 4, 4), latent=20)
    title = tangent_directions(held, x, near).get_suptitle()
    assert "no gap" not in title
    assert "reconstruction's Jacobian, σ5/σ6 = " in title


def test_signed_images_have_zero_in_the_middle() -> None:
    grey = signed_colours(torch.tensor([0.0, 2.0, -2.0, 9.0]).view(4, 1, 1, 1), 2.0)
    assert grey[0].min() > 0.95  # white
    assert grey[1, 0] > grey[1, 2]  # red
    assert grey[2, 2] > grey[2, 0]  # blue
    assert grey[3].equal(grey[1])
    assert signed_colours(torch.zeros(1, 3, 1, 1), 1.0).eq(0.5).all()


# ------------------------------------------------------------- spectrum and contraction


def test_the_spectrum_drawn_is_that_of_a_linear_encoder() -> None:
    W = torch.randn(5, 9).double()
    figure = jacobian_spectrum(linear(W, W.T), torch.randn(4, 9).double())
    (line,) = figure.axes[0].lines
    assert np.allclose(line.get_ydata(), torch.linalg.svdvals(W), rtol=1e-5)
    assert line.get_xdata().tolist() == [1, 2, 3, 4, 5]
    assert figure.axes[0].get_yscale() == "log"


def test_singular_values_that_are_zero_are_not_drawn() -> None:
    W = torch.randn(5, 2).double() @ torch.randn(2, 9).double()
    figure = jacobian_spectrum(linear(W, W.T), torch.randn(4, 9).double())
    assert len(figure.axes[0].lines[0].get_ydata()) == 2


def test_a_code_that_answers_to_nothing_has_no_spectrum() -> None:
    W = torch.zeros(5, 9).double()
    with pytest.raises(UsageError, match="the encoder's Jacobian is 0"):
        jacobian_spectrum(linear(W, W.T), torch.randn(4, 9).double())


def test_the_contraction_ratio_of_a_linear_map_is_that_map_at_every_radius() -> None:
    W = torch.randn(3, 6).double()
    u = torch.nn.functional.normalize(torch.randn(4, 7, 6).double(), dim=2)
    radii = torch.tensor([0.01, 1.0, 50.0])
    ratios = contraction_ratios(linear(W, W.T), torch.randn(4, 6).double(), u, radii)
    assert torch.allclose(ratios, (u @ W.T).norm(dim=2)[..., None].expand(4, 7, 3), rtol=1e-8)
    similarity = 0.25 * torch.linalg.qr(torch.randn(6, 6).double()).Q
    figure = contraction_curve(linear(similarity, similarity.T), torch.randn(5, 6).double())
    for line in figure.axes[0].lines[:2]:
        assert np.allclose(line.get_ydata(), 0.25, rtol=1e-4)


def test_there_is_no_curve_of_a_code_that_contracts_alike_at_every_radius() -> None:
    W = torch.eye(4).double()
    kept = {"latent": 4, "decoder": MLP([]), "posterior": Dirac(), "likelihood": Gaussian()}
    for flat in (linear(W, W), AutoEncoder(shape=(4,), encoder=Identity(), **kept)):
        assert "is flat" in ContractionCurve().suits(flat, None)
    for curved in (linear(W, W, activation=UnitNorm()), systems.UndercompleteAutoEncoder((4,))):
        assert ContractionCurve().suits(curved, None) is None


def test_a_saturating_code_contracts_more_at_a_distance() -> None:
    x = torch.randn(6, 4).double()
    model = linear(torch.eye(4), torch.eye(4), activation=UnitNorm())
    lines = contraction_curve(model, x, radii=torch.tensor([0.01, 100.0])).axes[0].lines
    assert all(line.get_ydata()[1] < 0.1 * line.get_ydata()[0] for line in lines[:2])


# ---------------------------------------------------------------------- all of them


SYSTEMS = (
    systems.LinearAutoEncoder,
    systems.UndercompleteAutoEncoder,
    systems.SparseAutoEncoder,
    systems.ContractiveAutoEncoder,
    systems.DenoisingAutoEncoder,
    systems.StochasticAutoEncoder,
    systems.VariationalAutoEncoder,
    systems.ImportanceWeightedAutoEncoder,
)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_picture_of_every_system_leaves_no_trace(system, tmp_path) -> None:
    data = Digits(corruption=GaussianNoise(sigma=0.2))
    model = system(data.shape, latent=6).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    flat = system is systems.LinearAutoEncoder  # contracts alike at any radius
    for picture in PICTURES:
        stem = tmp_path / picture.name
        if flat and picture is ContractionCurve:
            with pytest.raises(UsageError, match="of an affine code is flat"):
                picture(items=8).picture(model, data, stem=stem)
            continue
        picture(items=8).picture(model, data, stem=stem)
        assert 5_000 < stem.with_suffix(".png").stat().st_size < 150_000
    assert state.equal(torch.random.get_rng_state())
    assert all(module.training for module in model.modules())
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("system", [systems.DenoisingAutoEncoder, systems.StochasticAutoEncoder])
def test_every_picture_of_vectors(system) -> None:
    data = Manifold(Ring(dimension=5), size=500, corruption=GaussianNoise(sigma=0.2))
    model = system(data.shape, latent=2, value_range=None)
    for picture in PICTURES:
        figure = picture(items=20).picture(model, data)
        assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes[:1])


@pytest.mark.parametrize("picture", PICTURES)
def test_colour_images_are_drawn(picture) -> None:
    shape = (3, 8, 8)
    model = systems.DenoisingAutoEncoder(shape, latent=6)
    pair = Pair(torch.rand(9, *shape), torch.rand(9, *shape), torch.arange(9), torch.arange(9))
    callback = picture(items=9)
    callback.data = [pair]
    if picture is ScoreField:
        score_field(model, pair, 0.1)
    else:
        callback.draw(model, pair)


def test_tangents_of_a_convolutional_model_of_cifar_images_stay_under_two_gigabytes() -> None:
    code = """
        import resource, torch
        from ae_lightning import systems
        from ae_lightning.callbacks import JacobianSpectrum, TangentDirections
        from ae_lightning.nn import ConvDecoder, ConvEncoder
        from ae_lightning.core.types import Pair

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

        x = torch.rand(100, 3, 32, 32)
        data = [Pair(x, x, torch.zeros(100), torch.arange(100))]
        encoder, decoder = ConvEncoder((32, 64)), ConvDecoder((64, 32))
        model = systems.UndercompleteAutoEncoder((3, 32, 32), 128, encoder, decoder)
        before = peak()
        TangentDirections().picture(model, data)
        JacobianSpectrum(items=3).picture(model, data)
        print(peak() - before)
    """
    assert float(python("-c", textwrap.dedent(code))) < 2.0  # GiB, on Linux
