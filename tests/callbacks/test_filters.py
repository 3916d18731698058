"""Filters are the rows and columns of the weights."""

import numpy as np
import pytest
import torch

from ae_lightning import systems
from ae_lightning.callbacks import filters
from ae_lightning.callbacks.filters import decoder_filters, encoder_filters, share_units
from ae_lightning.core.errors import UsageError
from ae_lightning.nn import MLP, ConvDecoder, ConvEncoder
from helpers.pictures import SHAPE, affine, close, drawn, examples


def test_filters_are_the_encoders_rows_and_the_decoders_columns() -> None:
    model = affine(K=5, stochastic=False)
    W_1, W_2 = model.encoder.layers[0].weight, model.decoder.layers[0].weight
    assert encoder_filters(model).equal(W_1.view(5, *SHAPE))
    assert decoder_filters(model).equal(W_2.T.reshape(5, *SHAPE))


def pairs(figure, n: int, W: int = 4) -> torch.Tensor:
    """The two images of n units in one row, as red minus blue: (2, n, H, W)."""
    shown = torch.as_tensor(np.asarray(figure.axes[0].images[0].get_array()))
    signed = shown[..., 0] - shown[..., 2]
    step = 2 * W + 6
    at = [[c * step + half * (W + 1) for c in range(n)] for half in (0, 1)]
    return torch.stack([torch.stack([signed[:W, i : i + W] for i in row]) for row in at])


def agree(shown: torch.Tensor, w: torch.Tensor) -> bool:
    """Whether images are red above 0 and blue below, wherever the weights are strong."""
    strong = w.abs() > w.abs().max() / 8
    return bool((shown.sign() == w.sign())[strong].all())


def test_what_a_unit_looks_for_stands_beside_what_the_same_unit_paints() -> None:
    model, x = affine(K=5, stochastic=False), examples()
    sd = torch.linspace(0, 3, 16).view(SHAPE)
    x = (x - x.mean(0)) / x.std(0, unbiased=False) * sd
    rows = encoder_filters(model).detach()[:, 0] * sd
    columns = decoder_filters(model).detach()[:, 0]
    order = (rows.flatten(1).norm(dim=1) * columns.flatten(1).norm(dim=1)).argsort(descending=True)
    looks, paints = pairs(filters(model, x), 5)
    assert agree(looks, rows[order])
    assert agree(paints, columns[order])
    assert not agree(paints, columns[order.roll(1)])
    idle = looks[:, 0, 0]  # the pixel that never varies
    assert close(idle, idle[:1].expand(5), absolute=1e-5)
    assert idle.abs().max() < looks.abs().max() / 10


def test_of_a_stochastic_code_the_means_units_are_paired() -> None:
    model = affine(K=5)  # with rows for log σ too
    looks, _ = pairs(filters(model), 5)
    rows = encoder_filters(model).detach()[:5, 0]
    columns = decoder_filters(model).detach()[:, 0]
    order = (rows.flatten(1).norm(dim=1) * columns.flatten(1).norm(dim=1)).argsort(descending=True)
    assert agree(looks, rows[order])


def test_units_of_deeper_networks_are_not_paired() -> None:
    deep = systems.VariationalAutoEncoder(SHAPE, 3, MLP([7]), MLP([9]))
    assert not share_units(deep)
    first, last = (axes.get_title("left") for axes in filters(deep, examples().float()).axes)
    assert first.startswith("first layer, times σ of x: all 7")
    assert last.startswith("last layer: all 9")
    w = encoder_filters(deep).detach()[:, 0]
    w = w[w.flatten(1).norm(dim=1).argsort(descending=True)]
    r, _, b = drawn(filters(deep), 2, 6).flatten(0, 1)[:7].unbind(1)
    assert agree(r - b, w)


def test_filters_of_convolutions_are_their_kernels_and_a_tied_decoder_has_none() -> None:
    model = systems.VariationalAutoEncoder((3, 8, 8), 4, ConvEncoder([5]), ConvDecoder([7]))
    assert encoder_filters(model).shape == (5, 3, 4, 4)
    assert decoder_filters(model).shape == (7, 3, 4, 4)
    tied = systems.ContractiveAutoEncoder(SHAPE, latent=6)
    assert decoder_filters(tied) is None
    assert len(filters(tied).axes) == 1
    with pytest.raises(UsageError, match=r"of shape \(5,\)"):
        filters(affine(shape=(5,)))
