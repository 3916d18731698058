"""Filters are the rows and columns of the weights."""

import pytest
import torch

from ae_lightning import systems
from ae_lightning.callbacks import filters
from ae_lightning.callbacks.filters import decoder_filters, encoder_filters
from ae_lightning.core.errors import UsageError
from ae_lightning.nn import ConvDecoder, ConvEncoder
from helpers.pictures import SHAPE, affine, close, drawn, examples


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
