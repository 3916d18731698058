"""Pictures of sparse codes count what is zero and what is not."""

import numpy as np
import torch

from ae_lightning.callbacks import activation_histogram, l0_error
from ae_lightning.callbacks.l0_error import kept_error
from ae_lightning.nn import TopK
from helpers.pictures import affine, close, examples, g, pair


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
