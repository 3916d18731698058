"""The autoencoder of two given matrices."""

import torch
from torch import Tensor

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.likelihoods import Gaussian
from ae_lightning.nn import MLP
from ae_lightning.posteriors import Dirac


def linear(W_encoder: Tensor, W_decoder: Tensor, shape=None, activation=None) -> AutoEncoder:
    """f(x) = a(W₁x), g(z) = W₂z."""
    K, D = W_encoder.shape
    model = AutoEncoder(
        shape=shape or (D,),
        latent=K,
        encoder=MLP(widths=()),
        posterior=Dirac(activation),
        decoder=MLP(widths=()),
        likelihood=Gaussian(),
        value_range=None,
    ).double()
    with torch.no_grad():
        for network, W in ((model.encoder, W_encoder), (model.decoder, W_decoder)):
            network.layers[0].weight.copy_(W)
            network.layers[0].bias.zero_()
    return model.eval()
