"""What Jacobians are taken of, and what they are compared with."""

import torch
from torch import Tensor

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.nn import MLP, ConvEncoder, ResidualEncoder
from helpers.closeness import close
from helpers.models import SHAPE

B = 5
ENCODERS = {
    "affine": lambda: MLP([]),
    "one_hidden": lambda: MLP([7]),
    "two_hidden": lambda: MLP([7, 6], activation="Tanh"),
    "conv": lambda: ConvEncoder([4, 4], hidden=6),
    "prelu": lambda: ConvEncoder([4, 4], 6, "PReLU"),
    "residual": lambda: ResidualEncoder(width=2, attention=True, recompute=True),
    "dropout": lambda: MLP([7], dropout=0.5),
}


def points(n=B, shape=SHAPE) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(n, *shape, generator=generator, dtype=torch.float64)


def row_by_row(f, x: Tensor) -> Tensor:
    """∂f/∂x by one call of autograd an example: (B, *K, *S)."""
    one = torch.autograd.functional.jacobian
    return torch.stack([one(lambda t: f(t[None])[0], xi, create_graph=True) for xi in x])


def close_gradients(model: AutoEncoder, a: Tensor, b: Tensor, tolerance: float = 1e-10) -> None:
    parameters = list(model.parameters())
    options = dict(allow_unused=True, materialize_grads=True)
    for ga, gb in zip(
        torch.autograd.grad(a, parameters, retain_graph=True, **options),
        torch.autograd.grad(b, parameters, **options),
        strict=True,
    ):
        assert close(ga, gb, tolerance)
