"""Traversals, manifolds and interpolations go where quantiles and linear maps say."""

import pytest
import torch
from torch.distributions import Laplace as LaplaceDistribution
from torch.distributions import Normal

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.callbacks import (
    LatentTraversal,
    interpolation,
    latent_manifold,
    latent_traversal,
    observing,
)
from ae_lightning.callbacks.interpolation import spherical, straight
from ae_lightning.callbacks.latent_manifold import quantile_grid, quantiles
from ae_lightning.core.errors import UsageError
from ae_lightning.priors import GaussianMixture, LaplacePrior
from ae_lightning.regularizers import Rate
from helpers.pictures import affine, close, drawn, examples, f, g, labels, pair


def held(**others) -> AutoEncoder:
    return affine(regularizers={"rate": Rate()}, **others)


def test_a_traversal_of_a_linear_decoder_is_a_line_along_its_column() -> None:
    model = held(K=3)
    x = examples()
    start = f(model, x)[0]
    figure = latent_traversal(model, x, start, [0, 1, 2], columns=7)
    kl = torch.distributions.kl_divergence(model.encode(x).base_dist, Normal(0.0, 1.0)).mean(0)
    order = kl.argsort(descending=True).tolist()
    assert labels(figure) == [f"z{k}  {kl[k].item():.2f}" for k in order]
    expected = torch.stack([start.expand(7, 3)] * 3).clone()
    for row, k in enumerate(order):
        expected[row, :, k] = torch.linspace(-3, 3, 7)
    assert close(drawn(figure, 3, 7), g(model, expected))
    *marks, across = [t.get_text() for t in figure.axes[0].texts if t.get_va() == "top"]
    assert across == "standard deviations of the prior"
    assert marks == ["−3.0", "−2.0", "−1.0", "0", "+1.0", "+2.0", "+3.0"]


@pytest.mark.parametrize("stochastic", [True, False])
def test_codes_that_nothing_holds_span_their_own_deviations_within_their_range(stochastic) -> None:
    model = affine(K=3, stochastic=stochastic)
    x = examples()
    code = f(model, x)
    figure = latent_traversal(model, x, dims=[2, 0], columns=5)
    order = [k for k in code.var(0).argsort(descending=True).tolist() if k in (0, 2)]
    expected = code.mean(0).expand(2, 5, 3).clone()
    for row, k in enumerate(order):
        t = torch.linspace(-3, 3, 5) * code[:, k].std(unbiased=False) + code[:, k].mean()
        expected[row, :, k] = t.clamp(code[:, k].min(), code[:, k].max())
    assert labels(figure) == [f"z{k}  {float(code[:, k].var(unbiased=False)):.2g}" for k in order]
    across = "standard deviations of the code, within its range"
    assert across in [t.get_text() for t in figure.axes[0].texts]
    assert close(drawn(figure, 2, 5), g(model, expected))


def test_the_traversal_of_one_dimension_speaks_of_one() -> None:
    model, x = held(K=1), examples()
    assert (
        latent_traversal(model, x)
        .axes[0]
        .get_title("left")
        .startswith("Latent traversal: the one dimension, by KL in nats")
    )
    points = held(K=1, shape=(2,))
    title = latent_traversal(points, torch.randn(20, 2).double()).axes[0].get_title("left")
    assert title.startswith("Traversal of the one dimension, and its KL in nats")


def framed(figure) -> list[tuple[int, int]]:
    """The row and the column of every image in a frame; images are of 4×4 pixels."""
    corners = [patch.get_xy() for patch in figure.axes[0].patches]
    return [(round((y + 1) / 5), round((x + 1) / 5)) for x, y in corners]


def test_from_several_starts_the_value_nearest_to_each_ones_own_is_framed() -> None:
    model, x = held(K=3), examples()
    starts = torch.tensor([[0.1, -1.9, 9.0], [-3.2, 0.9, 2.1]]).double()
    figure = latent_traversal(model, x, starts, [0, 1, 2], columns=7)
    grid = drawn(figure, 6, 7)
    order = [int(name[1]) for name in labels(figure)]  # of each dimension's first row
    assert len(order) == 3
    t = torch.linspace(-3, 3, 7)
    nearest = [int((t - starts[a, k]).abs().argmin()) for k in order for a in (0, 1)]
    assert framed(figure) == list(enumerate(nearest))
    for row, (k, a) in enumerate((k, a) for k in order for a in (0, 1)):
        expected = starts[a].expand(7, 3).clone()
        expected[:, k] = t
        assert close(grid[row], g(model, expected))
    assert framed(latent_traversal(model, x, dims=[1], columns=7)) == [(0, 3)]  # the mean


def test_a_start_that_is_no_example_is_refused() -> None:
    with pytest.raises(UsageError, match="start is 500: expected an example from 0 to 499"):
        LatentTraversal(start=[3, 500])
    with pytest.raises(UsageError, match="start is 20, and there are only 3 examples"):
        LatentTraversal(start=[0, 20])._starts(affine(), pair(examples(3)))


def without_use_of(model: AutoEncoder, k: int) -> AutoEncoder:
    with torch.no_grad():
        model.decoder.layers[0].weight[:, k] = 0
        model.encoder.layers[0].weight[[k, model.latent + k]] = 0  # μ and log σ: the prior
        model.encoder.layers[0].bias[[k, model.latent + k]] = 0
        model.decoder.layers[0].weight.mul_(20)
    return model


def test_an_unused_dimension_is_left_out_with_a_word_unless_it_is_named() -> None:
    model = without_use_of(held(K=3), 1)
    figure = latent_traversal(model, examples(), columns=5)
    assert {name[:2] for name in labels(figure)} == {"z0", "z2"}
    title = figure.axes[0].get_title("left")
    assert title.startswith("Latent traversal: 2 of 3 dimensions")
    assert title.endswith("\nleft out, as they change no value by 25%: z1")
    named = latent_traversal(model, examples(), dims=[0, 1, 2], columns=5)
    assert labels(named)[-1] == "z1  0.00"
    last = drawn(named, 3, 5)[2]
    assert close(last, last[:1].expand_as(last), absolute=1e-9)


def test_a_traversal_in_which_nothing_is_seen_to_change_has_one_row_and_says_so() -> None:
    model = affine(K=3)
    with torch.no_grad():
        model.decoder.layers[0].weight.mul_(1e-3)
    figure = latent_traversal(model, examples())
    assert len(labels(figure)) == 1
    assert "none of the first 3 alone changes a value by 25%" in figure.axes[0].get_title("left")


def test_a_dimension_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="there is no dimension 3: the code has 0 to 2"):
        latent_traversal(affine(K=3), examples(), dims=[1, 3])


def test_a_traversal_of_vectors_is_the_line_that_the_decoder_draws_through_its_start() -> None:
    model, x = held(K=2, shape=(2,)), examples(30, (2,))
    start = torch.tensor([0.3, 5.0]).double()
    axes = latent_traversal(model, x, start, dims=[1]).axes[0]
    z = start.expand(301, 2).clone()
    z[:, 1] = torch.linspace(-3, 3, 301)
    assert close(torch.as_tensor(axes.lines[0].get_xydata()), g(model, z))
    ring = axes.lines[-1]
    assert ring.get_label() == "start"
    assert close(torch.as_tensor(ring.get_xydata()), g(model, start[None]))
    ring = latent_traversal(model, x).axes[0].lines[-1]
    assert close(torch.as_tensor(ring.get_xydata()), g(model, torch.zeros(1, 2)))  # the mean


# ------------------------------------------------------------------------- manifolds


@pytest.mark.parametrize("prior", [None, LaplacePrior(scale=0.5)])
def test_the_latent_manifold_is_spaced_by_the_priors_quantiles(prior) -> None:
    model = held(prior=prior)
    x = examples()
    u = (torch.arange(4).double() + 0.5) / 4
    q = (Normal(0, 1) if prior is None else LaplaceDistribution(0, 0.5)).icdf(u)
    z = quantile_grid(model, x, 4)
    assert close(z[:, :, 0], q.expand(4, 4), absolute=1e-7)
    assert close(z[:, :, 1], q.flip(0)[:, None].expand(4, 4), absolute=1e-7)
    assert close(drawn(latent_manifold(model, x, 4), 4, 4), g(model, z))


def test_quantiles_without_a_closed_form_are_those_of_draws_and_of_codes() -> None:
    u = torch.tensor([0.1, 0.5, 0.9]).double()
    model = held(prior=GaussianMixture(1))
    with torch.no_grad(), observing(model):
        p = model.prior().component_distribution.base_dist
        exact = Normal(p.loc[0], p.scale[0]).icdf(u[:, None])
        assert close(quantiles(model, examples(), u), exact, absolute=0.05)
    x = examples(101)
    for model in (affine(stochastic=False), affine(), affine(prior=GaussianMixture(1))):
        with torch.no_grad():
            assert close(quantiles(model, x, u), f(model, x).sort(dim=0).values[[10, 50, 90]])
        assert "quantiles of the codes" in latent_manifold(model, x, 4).axes[0].get_title("left")


def test_the_latent_manifold_wants_a_code_of_two() -> None:
    with pytest.raises(UsageError, match="size 2, and this one is of size 3"):
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
