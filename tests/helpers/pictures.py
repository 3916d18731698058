"""An affine autoencoder, its examples, and what is read off its pictures."""

from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.types import Pair
from ae_lightning.likelihoods import Gaussian
from ae_lightning.nn import MLP
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from ae_lightning.priors import Prior
from helpers import closeness

close = partial(closeness.close, absolute=1e-5)
SHAPE = (1, 4, 4)
RANGE = (-20.0, 20.0)


def affine(
    K: int = 2,
    shape: tuple[int, ...] = SHAPE,
    stochastic: bool = True,
    prior: Prior | None = None,
    activation: object = None,
    **others: object,
) -> AutoEncoder:
    """f(x) = W₁x + b₁ and g(z) = W₂z + b₂, in float64; images lie within ±20."""
    torch.manual_seed(1)
    return (
        AutoEncoder(
            shape=shape,
            latent=K,
            encoder=MLP([]),
            posterior=DiagonalGaussian() if stochastic else Dirac(activation),
            decoder=MLP([]),
            likelihood=Gaussian(),
            prior=prior,
            value_range=RANGE if len(shape) == 3 else None,
            **others,
        )
        .double()
        .eval()
    )


def examples(n: int = 40, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(7)).double()


def pair(x: Tensor, x_tilde: Tensor | None = None) -> Pair:
    return Pair(x if x_tilde is None else x_tilde, x, torch.arange(len(x)), torch.arange(len(x)))


def g(model: AutoEncoder, z: Tensor) -> Tensor:
    """The decoder, from its weights: (*batch, K) -> (*batch, *S)."""
    layer = model.decoder.layers[0]
    return (z.to(layer.weight) @ layer.weight.T + layer.bias).unflatten(-1, model.shape).detach()


def f(model: AutoEncoder, x: Tensor) -> Tensor:
    """The code's mean, from the encoder's weights."""
    layer = model.encoder.layers[0]
    h = x.flatten(1) @ layer.weight.T + layer.bias
    return h[:, : model.latent].detach()


def drawn(figure: Figure, rows: int, columns: int, panel: int = 0) -> Tensor:
    """The images (R, N, C, H, W) in a grid, read off the picture, in the data's units."""
    array = torch.as_tensor(np.asarray(figure.axes[panel].images[0].get_array()))
    array = array if array.dim() == 3 else array[..., None]
    H, W = ((side + 1) // n for side, n in zip(array.shape, (rows, columns), strict=False))
    padded = torch.nn.functional.pad(array, (0, 0, 0, 1, 0, 1), value=torch.nan)
    grid = padded.unflatten(0, (rows, H)).unflatten(2, (columns, W))[:, : H - 1, :, : W - 1]
    return grid.permute(0, 2, 4, 1, 3) * (RANGE[1] - RANGE[0]) + RANGE[0]


def labels(figure: Figure) -> list[str]:
    """The names of a grid's rows."""
    return [t.get_text() for t in figure.axes[0].texts if t.get_ha() == "right"]


HISTORY = {
    "train/loss": [(1, 12.0), (2, 11.0), (3, 10.0)],
    "train/distortion": [(1, 10.0), (2, 8.0), (3, 6.0)],
    "train/rate": [(1, 4.0), (2, 5.0), (3, 6.0)],
    "train/rate_weight": [(1, 0.25), (2, 0.4), (3, 0.5)],
    "train/l1": [(1, 10.0), (2, 10.0), (3, 10.0)],
    "val/loss": [(3, 10.5)],
    "val/elbo": [(3, -9.0)],
    "val/rate_0": [(3, 1.0)],
}
