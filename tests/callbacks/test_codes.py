"""Samples of the prior, and codes in the plane, are those of the model."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ae_lightning.callbacks import codes, observing, prior_samples
from ae_lightning.callbacks.codes import label_places
from ae_lightning.callbacks.drawing.projections import agreement, in_plane, nearness
from ae_lightning.callbacks.drawing.vectors import plane
from ae_lightning.core.errors import UsageError
from ae_lightning.regularizers import MMD, Rate
from helpers.pictures import affine, close, drawn, examples, f, g


def test_prior_samples_are_means_at_fixed_draws() -> None:
    model = affine(regularizers={"rate": Rate()})
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
    with pytest.raises(UsageError, match="held to the prior, by a Rate or an MMD"):
        prior_samples(affine(), examples())
    held = affine(stochastic=False, regularizers={"mmd": MMD()})
    assert drawn(prior_samples(held, examples(), n=12), 1, 12).isfinite().all()


def test_two_dimensional_codes_are_drawn_as_they_are_in_the_colour_of_their_label() -> None:
    model, x = affine(regularizers={"rate": Rate()}), examples(30)
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


def test_the_prior_is_drawn_only_around_codes_that_are_held_to_it() -> None:
    y = torch.arange(40) % 3
    for free in (affine(), affine(regularizers={"rate": Rate(0.0)}), affine(stochastic=False)):
        axes = codes(free, examples(), y).axes[0]
        assert not axes.patches
        assert "prior" not in axes.get_title("left")
    held = affine(stochastic=False, regularizers={"mmd": MMD()})
    assert len(codes(held, examples(), y).axes[0].patches) == 1


def test_principal_directions_are_those_of_the_codes() -> None:
    code = examples(50, (6,)).float() * torch.tensor([3.0, 2, 1, 1, 1, 1])
    shown = in_plane(code, "pca")
    U, S, V = torch.linalg.svd(code - code.mean(0), full_matrices=False)
    assert close(torch.as_tensor(shown.points).abs(), (U * S)[:, :2].abs(), absolute=1e-4)
    share = S.square() / S.square().sum()
    for k in (0, 1):
        assert f"{float(share[k]):.0%}" in shown.names[k]
    assert f"{float(share[:2].sum()):.0%}" in shown.how
    assert (V[:2] @ plane(code)[1].T).abs().diag().allclose(torch.ones(2))


def groups(n: int = 20, K: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes (5n, K) in five groups far apart, and which group each is of."""
    y = torch.arange(5 * n) % 5
    return examples(5 * n, (K,)).float() + 20 * torch.eye(K)[y], y


def test_larger_codes_are_mapped_by_who_is_near_whom() -> None:
    code, y = groups()
    shown = in_plane(code, "tsne")
    assert shown.how.startswith("t-SNE, trustworthiness 0.9")
    assert agreement(torch.as_tensor(shown.points), y) == 1.0
    assert np.array_equal(in_plane(code, "tsne").points, shown.points)
    # By a power of 2, which rounds nothing: rounding may turn the map.
    assert np.array_equal(in_plane(4096 * code, "tsne").points, shown.points)
    shuffled = torch.as_tensor(shown.points)[torch.randperm(len(code))]
    assert nearness(shuffled.numpy(), code, "").how < ", trustworthiness 0.7"


def test_the_title_says_how_often_the_nearest_code_has_the_same_label() -> None:
    code, y = groups()
    assert agreement(code, y) == 1.0
    assert agreement(code, torch.arange(len(code))) == 0.0
    title = codes(affine(K=3), examples(), torch.arange(40) % 4).axes[0].get_title("left")
    same = agreement(f(affine(K=3), examples()), torch.arange(40) % 4)
    assert title.endswith(f"the nearest code has the same label: {same:.0%}, by chance 25%")


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_few_codes_are_drawn_too(n: int) -> None:
    assert codes(affine(K=5), examples(n), torch.arange(n)).axes


@pytest.mark.parametrize("spread", [0.0, 0.01, 1.0])
def test_every_label_is_written_amid_its_examples_and_clear_of_the_others(spread: float) -> None:
    y = torch.arange(200) % 10
    turns = y * 2 * torch.pi / 10
    points = spread * torch.stack([turns.cos(), turns.sin()], 1) + 0.02 * examples(200, (2,))
    places = torch.as_tensor(label_places(points.numpy(), y, list(range(10)), least=0.1))
    assert torch.pdist(places).min() > 0.098
    if spread == 1.0:
        assert agreement(torch.cat([points, places]), torch.cat([y, y[:10]])) == 1
    figure = codes(affine(), examples(200), y)
    assert [t.get_text() for t in figure.axes[0].texts] == [str(k) for k in range(10)]


def test_a_kind_in_a_crowd_is_written_amid_its_own_and_not_at_an_outlier() -> None:
    crowd, y = 0.1 * examples(200, (2,)), torch.arange(200) % 2
    outlier = torch.tensor([[5.0, 5.0]])
    points, y = torch.cat([crowd, outlier]), torch.cat([y, torch.tensor([1])])
    places = torch.as_tensor(label_places(points.numpy(), y, [0, 1], least=0.1))
    assert (places.norm(dim=1) < 0.5).all()


def test_labels_that_are_not_kinds_are_drawn_as_a_scale() -> None:
    y = torch.linspace(0, 1, 30)
    figure = codes(affine(), examples(30), y)
    assert np.allclose(figure.axes[0].collections[0].get_array(), y)
    assert figure.axes[1].get_ylabel() == "label"


def test_umap_is_named_if_it_is_missing(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)  # as if it were not installed
    with pytest.raises(UsageError, match="pip install umap-learn"):
        codes(affine(K=3), examples(), torch.zeros(40), by="umap")


def test_umap_is_drawn_of_the_codes_if_it_is_there(monkeypatch) -> None:
    class Swapping:
        """In place of umap-learn's own: it gives the first two coordinates, swapped."""

        def __init__(self, random_state: int, n_jobs: int) -> None:
            self.settings = random_state, n_jobs

        def fit_transform(self, code):
            return code[:, [1, 0]]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Swapping))
    model, x = affine(K=3), examples()
    axes = codes(model, x, torch.zeros(40), by="umap").axes[0]
    assert axes.get_title("left").startswith("Codes of 40 examples: UMAP, trustworthiness 0.")
    points = torch.as_tensor(axes.lines[0].get_xydata())
    centred = f(model, x) - f(model, x).mean(0)
    expected = (centred / centred.square().mean().sqrt())[:, [1, 0]]
    assert close(points, expected, absolute=1e-4)
    assert len(axes.get_xticks()) == 0
