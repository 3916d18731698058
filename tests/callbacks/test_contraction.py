"""Spectra and contraction curves are those of linear maps."""

import numpy as np
import pytest
import torch

from ae_lightning import systems
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.callbacks import ContractionCurve, contraction_curve, jacobian_spectrum
from ae_lightning.callbacks.contraction_curve import contraction_ratios
from ae_lightning.core.errors import UsageError
from ae_lightning.likelihoods import Gaussian
from ae_lightning.nn import MLP, Identity, UnitNorm
from ae_lightning.posteriors import Dirac
from helpers.linear import linear


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
