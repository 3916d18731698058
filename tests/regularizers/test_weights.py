"""Penalties on the decoder's weights, each against its sum."""

import pytest
import torch

from ae_lightning.nn import MLP, ConvDecoder, TiedMLP
from ae_lightning.regularizers import DecoderNorm, Orthogonality
from helpers.closeness import close
from helpers.models import LATENT as K
from helpers.penalties import batch_of, penalised, penalty_of

pytestmark = pytest.mark.filterwarnings("ignore::ae_lightning.regularizers.DegenerateObjective")


def test_decoder_norm_counts_every_parameter_once() -> None:
    model = penalised()
    out = model.propagate(batch_of())
    parameters = model.decoder.parameters()
    assert close(penalty_of(DecoderNorm(), model, out), sum(p.square().sum() for p in parameters))


def test_decoder_norm_counts_tied_weights_once() -> None:
    model = penalised(decoder=TiedMLP())
    out = model.propagate(batch_of())
    weights = [layer.weight for layer in model.encoder.layers]
    by_hand = sum(p.square().sum() for p in [*weights, *model.decoder.biases])
    assert close(penalty_of(DecoderNorm(), model, out), by_hand)


@pytest.mark.parametrize(
    ("decoder", "atoms"),
    [
        (lambda: MLP([7]), lambda m: m.decoder.layers[0].weight),
        (TiedMLP, lambda m: m.encoder.layers[-1].weight.T),
        (lambda: ConvDecoder([4], hidden=9), lambda m: m.decoder.layers[1].weight),
    ],
)
def test_orthogonality_is_the_distance_of_the_gram_matrix_from_identity(decoder, atoms) -> None:
    model = penalised({"orthogonality": Orthogonality()}, decoder=decoder())
    out = model.propagate(batch_of())
    W = atoms(model)
    by_hand = sum(
        ((W[:, i] @ W[:, j]) - float(i == j)).square() for i in range(K) for j in range(K)
    )
    assert close(penalty_of(Orthogonality(), model, out), by_hand)


def test_orthonormal_atoms_cost_nothing() -> None:
    model = penalised(decoder=MLP([]))
    with torch.no_grad():
        model.decoder.layers[0].weight.copy_(torch.linalg.qr(torch.randn(16, K)).Q)
    out = model.propagate(batch_of())
    assert penalty_of(Orthogonality(), model, out) < 1e-10
