"""The small autoencoder that most tests are about."""

from typing import Any

import torch

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.likelihoods import Gaussian, Likelihood
from ae_lightning.nn import MLP, Network
from ae_lightning.posteriors import Dirac, Posterior

SHAPE, LATENT = (1, 4, 4), 3


def model_of(
    encoder: Network | None = None,
    posterior: Posterior | None = None,
    decoder: Network | None = None,
    likelihood: Likelihood | None = None,
    shape: tuple[int, ...] = SHAPE,
    latent: int = LATENT,
    **others: Any,
) -> AutoEncoder:
    """An autoencoder in float64, of one hidden layer each way if no other parts are given."""
    torch.manual_seed(3)
    return AutoEncoder(
        shape,
        latent,
        encoder or MLP([7]),
        posterior or Dirac(),
        decoder or MLP([7]),
        likelihood or Gaussian(),
        **{"value_range": None} | others,
    ).double()
