"""The penalties, and what they are tested on."""

import torch
from torch import Tensor
from torch import distributions as td

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.types import ForwardPass, Pair
from ae_lightning.nn import Sigmoid
from ae_lightning.posteriors import Dirac
from ae_lightning.regularizers import Regularizer
from helpers.models import SHAPE, model_of
from helpers.pairs import pair_of

B = 6


def penalised(regularizers=None, posterior=None, **parts) -> AutoEncoder:
    parts = {"samples": 2, "value_range": (0.0, 1.0), **parts}
    return model_of(posterior=posterior or Dirac(Sigmoid()), regularizers=regularizers, **parts)


def batch_of(n=B, corrupted=False) -> Pair:
    generator = torch.Generator().manual_seed(4)
    x = torch.rand(n, *SHAPE, generator=generator, dtype=torch.float64)
    x_tilde = x + 0.3 * torch.randn(x.shape, generator=generator) if corrupted else x
    return pair_of(x, x_tilde)


def penalty_of(regularizer: Regularizer, model: AutoEncoder, out: ForwardPass) -> Tensor:
    return regularizer(model, out)


def squared_norm(J: Tensor) -> Tensor:
    return J.square().flatten(1).sum(1)


def gaussian_pass(mu: Tensor, sigma: Tensor, R=1, features=None) -> ForwardPass:
    """A pass whose posterior is N(mu, diag sigma²), all else being empty."""
    q = td.Independent(td.Normal(mu, sigma), 1)
    x = torch.zeros(len(mu), *SHAPE, dtype=mu.dtype)
    features = torch.cat([mu, sigma.log()], 1)
    return ForwardPass(x, x, features, q, q.rsample((R,)), q)
