"""Traversals, manifolds and interpolations go where quantiles and linear maps say."""

import numpy as np
import pytest
import torch
from torch.distributions import Laplace as LaplaceDistribution
from torch.distributions import Normal

from ae_lightning.callbacks import interpolation, latent_manifold, latent_traversal, observing
from ae_lightning.callbacks.interpolation import spherical, straight
from ae_lightning.callbacks.latent_manifold import quantile_grid, quantiles
from ae_lightning.core.errors import UsageError
from ae_lightning.priors import GaussianMixture, LaplacePrior
from helpers.pictures import affine, close, drawn, examples, f, g, labels


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


def test_a_traversal_of_vectors_is_the_line_that_the_decoder_draws() -> None:
    model, x = affine(K=2, shape=(2,)), examples(30, (2,))
    figure = latent_traversal(model, x, dims=[1])
    line = torch.as_tensor(np.asarray(figure.axes[0].lines[0].get_xydata()))
    z = torch.zeros(301, 2)
    z[:, 1] = torch.linspace(-3, 3, 301)
    assert close(line, g(model, z))


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
