"""Pictures: what they draw is what is known of linear maps, normal quantiles and sparse codes."""

import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torch.distributions import Laplace as LaplaceDistribution
from torch.distributions import Normal

from ae_lightning import systems
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.callbacks import (
    activation_histogram,
    codes,
    curves,
    filters,
    interpolation,
    kl_bars,
    kl_per_dimension,
    l0_error,
    latent_manifold,
    latent_traversal,
    observing,
    prior_samples,
    reconstructions,
)
from ae_lightning.callbacks.codes import in_plane
from ae_lightning.callbacks.drawing.vectors import plane
from ae_lightning.callbacks.filters import decoder_filters, encoder_filters
from ae_lightning.callbacks.interpolation import spherical, straight
from ae_lightning.callbacks.l0_error import kept_error
from ae_lightning.callbacks.latent_manifold import quantile_grid, quantiles
from ae_lightning.callbacks.report.choosing import known_pictures
from ae_lightning.callbacks.report.history import read_history
from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.corruptions import GaussianNoise
from ae_lightning.datamodules import Digits, Manifold
from ae_lightning.likelihoods import Gaussian
from ae_lightning.nn import MLP, ConvDecoder, ConvEncoder, TopK
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from ae_lightning.priors import GaussianMixture, LaplacePrior, Prior
from ae_lightning.regularizers import MMD
from helpers import closeness

close = partial(closeness.close, absolute=1e-5)
SHAPE = (1, 4, 4)
RANGE = (-20.0, 20.0)
MINE = [
    *("curves", "reconstructions", "prior_samples", "latent_traversal", "latent_manifold"),
    *("interpolation", "codes", "kl_per_dimension", "filters", "activation_histogram", "l0_error"),
]


def affine(
    K: int = 2,
    shape: tuple[int, ...] = SHAPE,
    stochastic: bool = True,
    prior: Prior | None = None,
    activation: object = None,
    **others: object,
) -> AutoEncoder:
    """f(x) = W₁x + b₁ and g(z) = W₂z + b₂, in float64; images lie within ±20."""
    torch.manual_seed(1)
    return (
        AutoEncoder(
            shape=shape,
            latent=K,
            encoder=MLP([]),
            posterior=DiagonalGaussian() if stochastic else Dirac(activation),
            decoder=MLP([]),
            likelihood=Gaussian(),
            prior=prior,
            value_range=RANGE if len(shape) == 3 else None,
            **others,
        )
        .double()
        .eval()
    )


def examples(n: int = 40, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(7)).double()


def pair(x: Tensor, x_tilde: Tensor | None = None) -> Pair:
    return Pair(x if x_tilde is None else x_tilde, x, torch.arange(len(x)), torch.arange(len(x)))


def g(model: AutoEncoder, z: Tensor) -> Tensor:
    """The decoder, from its weights: (*batch, K) -> (*batch, *S)."""
    layer = model.decoder.layers[0]
    return (z.to(layer.weight) @ layer.weight.T + layer.bias).unflatten(-1, model.shape).detach()


def f(model: AutoEncoder, x: Tensor) -> Tensor:
    """The code's mean, from the encoder's weights."""
    layer = model.encoder.layers[0]
    h = x.flatten(1) @ layer.weight.T + layer.bias
    return h[:, : model.latent].detach()


def drawn(figure: Figure, rows: int, columns: int, panel: int = 0) -> Tensor:
    """The images (R, N, C, H, W) in a grid, read off the picture, in the data's units."""
    array = torch.as_tensor(np.asarray(figure.axes[panel].images[0].get_array()))
    array = array if array.dim() == 3 else array[..., None]
    H, W = ((side + 1) // n for side, n in zip(array.shape, (rows, columns), strict=False))
    padded = torch.nn.functional.pad(array, (0, 0, 0, 1, 0, 1), value=torch.nan)
    grid = padded.unflatten(0, (rows, H)).unflatten(2, (columns, W))[:, : H - 1, :, : W - 1]
    return grid.permute(0, 2, 4, 1, 3) * (RANGE[1] - RANGE[0]) + RANGE[0]


def labels(figure: Figure) -> list[str]:
    """The names of a grid's rows."""
    return [t.get_text() for t in figure.axes[0].texts if t.get_ha() == "right"]


def test_reconstructions_show_clean_corrupted_reconstructed_and_error() -> None:
    model = affine()
    x = examples(5)
    figure = reconstructions(model, pair(x, x + 1))
    assert labels(figure) == ["clean", "corrupted", "reconstructed", "error", "samples"]
    rows = drawn(figure, 5, 5)[:, :, :1]
    r = g(model, f(model, x + 1))
    assert close(rows[0], x)
    assert close(rows[1], x + 1)
    assert close(rows[2], r)
    assert f"{float((r - x).square().mean()):.4f}" in figure.axes[0].get_title("left")
    red, _, blue = drawn(figure, 5, 5)[3].mean((2, 3)).T  # by the mean sign of the error
    assert ((red > blue) == ((r - x).mean((1, 2, 3)) > 0)).float().mean() > 0.7
    with observing(model):
        assert close(rows[4], model.sample(5))
    assert labels(reconstructions(affine(stochastic=False), pair(x)))[1:] == [
        "reconstructed",
        "error",
    ]


def test_a_traversal_of_a_linear_decoder_is_a_line_along_its_column() -> None:
    model = affine(K=3)
    x = examples()
    start = f(model, x)[0]
    figure = latent_traversal(model, x, start, columns=7)
    kl = torch.distributions.kl_divergence(model.encode(x).base_dist, Normal(0.0, 1.0)).mean(0)
    order = kl.argsort(descending=True).tolist()
    assert labels(figure) == [f"z{k}  {float(kl[k]):.2f}" for k in order]
    expected = torch.stack([start.expand(7, 3)] * 3).clone()
    for row, k in enumerate(order):
        expected[row, :, k] = torch.linspace(-3, 3, 7)
    assert close(drawn(figure, 3, 7), g(model, expected))
    *marks, across = [t.get_text() for t in figure.axes[0].texts if t.get_va() == "top"]
    assert across == "standard deviations of the prior"
    assert marks == ["−3.0", "−2.0", "−1.0", "0", "+1.0", "+2.0", "+3.0"]


def test_a_deterministic_codes_traversal_spans_its_own_deviations_within_its_range() -> None:
    model = affine(K=3, stochastic=False)
    x = examples()
    code = f(model, x)
    figure = latent_traversal(model, x, dims=[2, 0], columns=5)
    order = [k for k in code.var(0).argsort(descending=True).tolist() if k in (0, 2)]
    expected = code.mean(0).expand(2, 5, 3).clone()
    for row, k in enumerate(order):
        t = torch.linspace(-3, 3, 5) * code[:, k].std(unbiased=False) + code[:, k].mean()
        expected[row, :, k] = t.clamp(code[:, k].min(), code[:, k].max())
    assert [label[:2] for label in labels(figure)] == [f"z{k}" for k in order]
    assert close(drawn(figure, 2, 5), g(model, expected))


def test_an_unused_dimension_gives_identical_columns_and_comes_last() -> None:
    model = affine(K=3)
    with torch.no_grad():
        model.decoder.layers[0].weight[:, 1] = 0
        model.encoder.layers[0].weight[[1, 4]] = 0  # μ and log σ of z1: the prior
        model.encoder.layers[0].bias[[1, 4]] = 0
    figure = latent_traversal(model, examples(), columns=5)
    assert labels(figure)[-1] == "z1  0.00"
    last = drawn(figure, 3, 5)[2]
    assert close(last, last[:1].expand_as(last), absolute=1e-9)


def test_a_dimension_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no dimension 3: the code has 0 to 2"):
        latent_traversal(affine(K=3), examples(), dims=[1, 3])


# ------------------------------------------------------------------------- manifolds


@pytest.mark.parametrize("prior", [None, LaplacePrior(scale=0.5)])
def test_the_latent_manifold_is_spaced_by_the_priors_quantiles(prior) -> None:
    model = affine(prior=prior)
    x = examples()
    u = (torch.arange(4).double() + 0.5) / 4
    q = (Normal(0, 1) if prior is None else LaplaceDistribution(0, 0.5)).icdf(u)
    z = quantile_grid(model, x, 4)
    assert close(z[:, :, 0], q.expand(4, 4), absolute=1e-7)
    assert close(z[:, :, 1], q.flip(0)[:, None].expand(4, 4), absolute=1e-7)
    assert close(drawn(latent_manifold(model, x, 4), 4, 4), g(model, z))


def test_quantiles_without_a_closed_form_are_those_of_draws_and_of_codes() -> None:
    u = torch.tensor([0.1, 0.5, 0.9]).double()
    model = affine(prior=GaussianMixture(1))
    with torch.no_grad(), observing(model):
        p = model.prior().component_distribution.base_dist
        exact = Normal(p.loc[0], p.scale[0]).icdf(u[:, None])
        assert close(quantiles(model, examples(), u), exact, absolute=0.05)
    model = affine(stochastic=False)
    x = examples(101)
    with torch.no_grad():
        assert close(quantiles(model, x, u), f(model, x).sort(dim=0).values[[10, 50, 90]])


def test_the_latent_manifold_wants_a_code_of_two() -> None:
    with pytest.raises(UsageError, match="size 2, and this is 3"):
        latent_manifold(affine(K=3), examples())


# --------------------------------------------------------------------- interpolation


def test_interpolations_start_and_end_at_the_reconstructions() -> None:
    model = affine()
    a, b = examples(6).chunk(2)
    grid = drawn(interpolation(model, a, b, steps=5), 6, 7)
    for row in range(6):
        i = row // 2
        assert close(grid[row, 0], a[i])
        assert close(grid[row, 1], g(model, f(model, a))[i])
        assert close(grid[row, 5], g(model, f(model, b))[i])
        assert close(grid[row, 6], b[i])
    middle = (f(model, a) + f(model, b)) / 2
    assert close(grid[0::2, 3], g(model, middle))


def test_spherical_interpolation_turns_at_one_speed_on_the_sphere() -> None:
    a, b = torch.tensor([[1.0, 0.0, 0.0]]).double(), torch.tensor([[0.0, 1.0, 0.0]]).double()
    t = torch.linspace(0, 1, 5).double()
    angle = t * torch.pi / 2
    exact = torch.stack([angle.cos(), angle.sin(), 0 * t], dim=1)[None]
    assert close(spherical(a, b, t), exact, absolute=1e-12)
    for other in (2 * a, -a):  # no plane of rotation
        assert close(spherical(a, other, t), straight(a, other, t), absolute=1e-12)


# ------------------------------------------------------------------ samples and codes


def test_prior_samples_are_means_at_fixed_draws() -> None:
    model = affine()
    with observing(model):
        z = model.prior().sample((24,))
    figure = prior_samples(model, examples(), n=24)
    assert close(drawn(figure, 2, 12).flatten(0, 1), g(model, z))
    assert close(
        drawn(figure, 2, 12), drawn(prior_samples(model, examples(), n=24), 2, 12), absolute=1e-9
    )


def test_prior_samples_want_codes_that_are_held_to_the_prior() -> None:
    with pytest.raises(UsageError, match="held to the prior, by a Rate or an MMD"):
        prior_samples(affine(stochastic=False), examples())
    held = affine(stochastic=False, regularizers={"mmd": MMD()})
    assert drawn(prior_samples(held, examples(), n=12), 1, 12).isfinite().all()


def test_two_dimensional_codes_are_drawn_as_they_are_in_the_colour_of_their_label() -> None:
    model, x = affine(), examples(30)
    y = torch.arange(30) % 3
    figure = codes(model, x, y)
    scatters = figure.axes[0].lines
    assert len(scatters) == 3
    for kind, scatter in enumerate(scatters):
        assert (scatter.get_linestyle(), scatter.get_marker()) == ("None", "o")
        assert close(torch.as_tensor(scatter.get_xydata()), f(model, x)[y == kind])
    assert len({s.get_color() for s in scatters}) == 3
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["0", "1", "2"]
    (ellipse,) = figure.axes[0].patches
    assert (ellipse.width, ellipse.height, *ellipse.center) == (4, 4, 0, 0)


def test_larger_codes_are_drawn_on_their_principal_directions() -> None:
    code = examples(50, (6,)).float() * torch.tensor([3.0, 2, 1, 1, 1, 1])
    points, _, names = in_plane(code, umap=False)
    U, S, V = torch.linalg.svd(code - code.mean(0), full_matrices=False)
    assert close(torch.as_tensor(points).abs(), (U * S)[:, :2].abs(), absolute=1e-4)
    share = S.square() / S.square().sum()
    for k in (0, 1):
        assert f"{float(share[k]):.0%}" in names[k]
    assert (V[:2] @ plane(code)[1].T).abs().diag().allclose(torch.ones(2))


def test_labels_that_are_not_kinds_are_drawn_as_a_scale() -> None:
    y = torch.linspace(0, 1, 30)
    figure = codes(affine(), examples(30), y)
    assert np.allclose(figure.axes[0].collections[0].get_array(), y)
    assert figure.axes[1].get_ylabel() == "label"


def test_umap_is_named_if_it_is_missing(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)  # as if it were not installed
    with pytest.raises(UsageError, match="pip install umap-learn"):
        codes(affine(), examples(), torch.zeros(40), umap=True)


def test_umap_is_drawn_of_the_codes_if_it_is_there(monkeypatch) -> None:
    class Swapping:
        """In place of umap-learn's own: it gives the first two coordinates, swapped."""

        def __init__(self, random_state: int, n_jobs: int) -> None:
            self.settings = random_state, n_jobs

        def fit_transform(self, code):
            return code[:, [1, 0]]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Swapping))
    model, x = affine(K=3), examples()
    axes = codes(model, x, torch.zeros(40), umap=True).axes[0]
    assert axes.get_title("left") == "Codes of 40 examples: UMAP"
    (points,) = (torch.as_tensor(np.asarray(c.get_offsets())) for c in axes.collections)
    assert close(points, f(model, x)[:, [1, 0]])
    assert len(axes.get_xticks()) == 0


# --------------------------------------------------------------------------- weights


def test_filters_are_the_encoders_rows_and_the_decoders_columns() -> None:
    model = affine(K=5, stochastic=False)
    W_1, W_2 = model.encoder.layers[0].weight, model.decoder.layers[0].weight
    assert encoder_filters(model).equal(W_1.view(5, *SHAPE))
    assert decoder_filters(model).equal(W_2.T.reshape(5, *SHAPE))
    figure = filters(model)
    for panel, w in enumerate((W_1, W_2.T)):
        # Red above 0, blue below, the largest first.
        r, _, b = drawn(figure, 1, 6, panel)[0, :5].unbind(1)
        largest = w[w.norm(dim=1).argsort(descending=True)].view(5, 4, 4)
        strong = largest.abs() > w.abs().max() / 8
        assert ((r - b).sign() == largest.sign())[strong].all()


def test_filters_are_as_strong_as_their_inputs_vary() -> None:
    model, x = affine(K=5, stochastic=False), examples()
    sd = torch.linspace(0, 3, 16).view(SHAPE)
    x = (x - x.mean(0)) / x.std(0, unbiased=False) * sd
    r, _, b = drawn(filters(model, x), 1, 6)[0, :5].unbind(1)
    w = encoder_filters(model).detach()[:, 0] * sd
    w = w[w.flatten(1).norm(dim=1).argsort(descending=True)]
    strong = w.abs() > w.abs().max() / 8
    assert ((r - b).sign() == w.sign())[strong].all()
    idle = (r - b)[:, 0, 0]  # the pixel that never varies
    assert close(idle, idle[:1].expand(5), absolute=1e-5)
    assert idle.abs().max() < (r - b).abs().max() / 10


def test_filters_of_convolutions_are_their_kernels_and_a_tied_decoder_has_none() -> None:
    model = systems.VariationalAutoEncoder((3, 8, 8), 4, ConvEncoder([5]), ConvDecoder([7]))
    assert encoder_filters(model).shape == (5, 3, 4, 4)
    assert decoder_filters(model).shape == (7, 3, 4, 4)
    tied = systems.ContractiveAutoEncoder(SHAPE, latent=6)
    assert decoder_filters(tied) is None
    assert len(filters(tied).axes) == 1
    with pytest.raises(UsageError, match=r"of shape \(5,\)"):
        filters(affine(shape=(5,)))


# -------------------------------------------------------------------------- sparsity


def test_the_activation_histogram_counts_what_is_zero_and_what_is_not() -> None:
    model = affine(K=8, stochastic=False, activation=TopK(3))
    figure = activation_histogram(model, examples(50))
    left, right = figure.axes
    assert left.get_title("left") == "62.5% of all activations are 0"
    assert left.patches[0].get_data().values.sum() == 50 * 3
    assert right.patches[0].get_data().values.sum() == 8
    dead = int((model.code(examples(50)).abs() <= 1e-3).all(0).sum())
    assert right.get_title("left") == f"{dead} of 8 units never active"


def test_keeping_all_activations_costs_nothing_and_keeping_none_decodes_zero() -> None:
    model = affine(K=8, stochastic=False, activation=TopK(3))
    x = examples(30)
    error = kept_error(model, x, model.code(x), torch.tensor([0, 1, 3, 8]))
    full = (model.reconstruct(x) - x).square().flatten(1).mean(1)
    assert close(error[:, 2], full, absolute=1e-12)
    assert close(error[:, 3], full, absolute=1e-12)
    assert close(
        error[:, 0], (g(model, torch.zeros(8)) - x).square().flatten(1).mean(1), absolute=1e-12
    )
    largest = model.code(x).abs().argmax(1, keepdim=True)
    z = torch.zeros(30, 8).double().scatter(1, largest, model.code(x).gather(1, largest))
    assert close(error[:, 1], (g(model, z) - x).square().flatten(1).mean(1), absolute=1e-12)


def test_l0_of_a_top_k_code_is_k_at_every_example() -> None:
    model = affine(K=8, stochastic=False, activation=TopK(3))
    axes = l0_error(model, pair(examples(30))).axes[0]
    at = np.asarray(axes.collections[0].get_offsets())
    assert (at[:, 0] == 3).all()
    line = axes.lines[0].get_xydata()
    assert line[:, 0].tolist() == [0, 1, 2, 3]
    assert np.isclose(line[-1, 1], at[:, 1].mean())


# ------------------------------------------------------------------ rates and curves


def test_bars_are_the_rates_from_early_to_late_the_largest_first() -> None:
    rates = torch.tensor([[3.0, 1.0, 0.2], [2.0, 4.0, 0.001]])
    figure = kl_bars(rates, torch.tensor([10, 20]))
    axes = figure.axes[0]
    heights = torch.tensor([p.get_height() for p in axes.patches]).view(2, 3)
    assert close(heights, rates[:, [1, 0, 2]])
    assert [t.get_text() for t in axes.get_xticklabels()] == ["z1", "z0", "z2"]
    assert axes.get_title("left") == "Rate by dimension: 6.0 nats, 2 of 3 active"
    early, late = (min(p.get_x() for p in list(axes.patches)[i : i + 3]) for i in (0, 3))
    assert early < late
    assert figure.axes[1].get_ylabel() == "optimizer step"


def test_rates_are_those_logged_or_else_those_of_the_examples() -> None:
    model, x = affine(), examples()
    q = model.encode(x)
    exact = torch.distributions.kl_divergence(q.base_dist, Normal(0.0, 1.0)).mean(0)
    now = kl_per_dimension(model, x)
    heights = torch.tensor([p.get_height() for p in now.axes[0].patches])
    assert close(heights, exact.sort(descending=True).values.detach())
    logged = {"val/rate_0": [(5, 1.0), (9, 2.0)], "val/rate_1": [(5, 0.5), (9, 0.25)]}
    bars = kl_per_dimension(model, x, logged).axes[0].patches
    assert [p.get_height() for p in bars] == [1.0, 0.5, 2.0, 0.25]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: affine(stochastic=False), "a point mass has no rate"),
        (lambda: affine(prior=GaussianMixture(2)), "GaussianMixture is not"),
    ],
)
def test_a_rate_without_parts_is_refused(model, said) -> None:
    with pytest.raises(UsageError, match=said):
        kl_per_dimension(model(), examples())


HISTORY = {
    "train/loss": [(1, 12.0), (2, 11.0), (3, 10.0)],
    "train/distortion": [(1, 10.0), (2, 8.0), (3, 6.0)],
    "train/rate": [(1, 4.0), (2, 5.0), (3, 6.0)],
    "train/rate_weight": [(1, 0.25), (2, 0.4), (3, 0.5)],
    "train/l1": [(1, 10.0), (2, 10.0), (3, 10.0)],
    "val/loss": [(3, 10.5)],
    "val/elbo": [(3, -9.0)],
    "val/rate_0": [(3, 1.0)],
}


def test_curves_show_every_term_raw_and_weighted_and_the_weighted_add_up() -> None:
    figure = curves(HISTORY, {"rate": 0.5, "l1": 0.1})
    panels = {axes.get_title("left"): axes for axes in figure.axes if axes.get_visible()}
    names = ["loss (nats)", "distortion (nats)", "l1", "rate (nats)", "weights", "ELBO (nats)"]
    assert list(panels) == names
    total = np.zeros(3)
    for title, name in (("distortion (nats)", "distortion"), ("rate (nats)", "rate"), ("l1", "l1")):
        lines = [line.get_xydata() for line in panels[title].lines]
        assert np.array_equal(lines[0], HISTORY[f"train/{name}"])
        total += lines[-1][:, 1]
    assert np.allclose(total, [12.0, 11.0, 10.0])
    loss, val = (line.get_xydata() for line in panels["loss (nats)"].lines)
    assert np.array_equal(loss, HISTORY["train/loss"])
    assert np.array_equal(val, HISTORY["val/loss"])
    assert np.array_equal(panels["weights"].lines[0].get_xydata(), HISTORY["train/rate_weight"])
    with pytest.raises(UsageError, match=r"metrics\.csv"):
        curves({})


def test_history_is_read_as_it_was_written_up_to_a_torn_row(tmp_path) -> None:
    assert read_history(tmp_path) == {}
    text = "epoch,step,train/loss,val/loss\n0,4,1.5,\n0,4,,2.5\n1,9,nan,\n1,9,0.5,\n1,1"
    (tmp_path / "metrics.csv").write_text(text)
    assert read_history(tmp_path) == {"train/loss": [(4, 1.5), (9, 0.5)], "val/loss": [(4, 2.5)]}


# ------------------------------------------------------------------- bytes, and all systems


SYSTEMS = (
    *("LinearAutoEncoder", "UndercompleteAutoEncoder", "SparseAutoEncoder"),
    *("ContractiveAutoEncoder", "DenoisingAutoEncoder", "StochasticAutoEncoder"),
    *("VariationalAutoEncoder", "ImportanceWeightedAutoEncoder"),
)
SPARSE = {"SparseAutoEncoder": {"activation_histogram", "l0_error"}}
SPARSE |= {"ContractiveAutoEncoder": {"activation_histogram"}}
STOCHASTIC = {"prior_samples", "kl_per_dimension"}
ANY = {"curves", "reconstructions", "latent_traversal", "interpolation", "codes"}


@pytest.mark.parametrize("latent", [2, 5])
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_has_the_pictures_that_suit_it_and_refuses_the_others(
    system, latent, tmp_path
) -> None:
    noise = GaussianNoise(0.2) if system == "DenoisingAutoEncoder" else None
    data = Digits(corruption=noise)
    model = getattr(systems, system)((1, 8, 8), latent=latent)
    suitable = ANY | {"filters"} | SPARSE.get(system, set())
    suitable |= STOCHASTIC if model.posterior.stochastic else set()
    suitable |= {"latent_manifold"} if latent == 2 else set()
    for name in MINE:
        made = known_pictures()[name](items=24, **({"start": None} if "trav" in name else {}))
        if name not in suitable:
            with pytest.raises(UsageError):
                made.picture(model, data, HISTORY)
            continue
        made.picture(model, data, HISTORY, tmp_path / name)
        image = np.asarray(Image.open(tmp_path / f"{name}.png").convert("L"))
        assert image.min() < 100 < 200 < image.max()
        assert image.shape[1] < 1100


@pytest.mark.parametrize("latent", [2, 3])
@pytest.mark.parametrize("system", ["VariationalAutoEncoder", "DenoisingAutoEncoder"])
def test_vectors_are_drawn_as_points_and_lines(system, latent) -> None:
    data = Manifold(size=400, corruption=GaussianNoise(0.1))
    others = {"likelihood": Gaussian(0.1), "value_range": None}
    model = getattr(systems, system)((2,), latent=latent, **others)
    suitable = ANY | (STOCHASTIC if model.posterior.stochastic else set())
    suitable |= {"latent_manifold"} if latent == 2 else set()
    for name in MINE:
        made = known_pictures()[name]()
        if name in suitable:
            assert made.picture(model, data, HISTORY).axes
        else:
            with pytest.raises(UsageError):
                made.picture(model, data, HISTORY)


def test_a_traversal_of_vectors_is_the_line_that_the_decoder_draws() -> None:
    model, x = affine(K=2, shape=(2,)), examples(30, (2,))
    figure = latent_traversal(model, x, dims=[1])
    line = torch.as_tensor(np.asarray(figure.axes[0].lines[0].get_xydata()))
    z = torch.zeros(301, 2)
    z[:, 1] = torch.linspace(-3, 3, 301)
    assert close(line, g(model, z))
