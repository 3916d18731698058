"""Networks that give back their input, as it is or with something added."""

from __future__ import annotations

import math

from torch import Tensor, nn

from ae_lightning.core.errors import UsageError
from ae_lightning.nn.network import Network, Shape


class Identity(Network):
    """Give back what is given: an encoder whose code is the input itself.

    Raises:
        UsageError: where the output's size is not the input's.
    """

    def build(self, inputs: Shape, outputs: Shape, mirror: Network | None = None) -> None:
        refuse_resizing(self, inputs, outputs)
        self.outputs = tuple(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, *self.outputs)


class Residual(Network):
    r"""Add a network's output, scaled, to its input: r(z) = z + c n(z).

    After an `Identity` encoder and with c = σ², the n of a denoising autoencoder is its estimate
    of the score itself, (r(x̃) − x̃)/σ² = n(x̃), which keeps its size however small σ is.

    Args:
        network: n.
        scale: c.

    Raises:
        UsageError: where the output's size is not the input's.

    >>> import torch
    >>> from ae_lightning.nn import MLP
    >>> residual = Residual(MLP(widths=[8]), scale=0.0)
    >>> residual.build((2,), (2,))
    >>> residual(torch.ones(1, 2))
    tensor([[1., 1.]], grad_fn=<AddBackward0>)
    """

    def __init__(self, network: Network, scale: float = 1.0) -> None:
        super().__init__()
        self.network, self.scale = network, scale

    def build(self, inputs: Shape, outputs: Shape, mirror: Network | None = None) -> None:
        refuse_resizing(self, inputs, outputs)
        self.outputs = tuple(outputs)
        self.network.build(inputs, outputs, mirror)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.network(x)
        return x.reshape(-1, *self.outputs) + self.scale * change

    def centre(self, inputs: Tensor | None, outputs: Tensor | None) -> None:
        self.network.centre(inputs, None)

    def tied(self) -> list[nn.Parameter]:
        return self.network.tied()


def refuse_resizing(network: Network, inputs: Shape, outputs: Shape) -> None:
    """Raise UsageError where a network that keeps its input's size is to change it."""
    given, wanted = math.prod(inputs), math.prod(outputs)
    if given != wanted:
        raise UsageError(
            f"{type(network).__name__} keeps the size of its input, {given}, and is to give "
            f"{wanted} values: set latent to the data's size, with a Dirac posterior."
        )
