"""Samples of the prior, and codes in the plane, are those of the model."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ae_lightning.callbacks import codes, observing, prior_samples
from ae_lightning.callbacks.codes import in_plane
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
