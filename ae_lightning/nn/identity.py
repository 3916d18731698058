"""Networks that return their input, unchanged or with something added."""

import math

from torch import Tensor, nn

from ae_lightning.core.errors import UsageError
from ae_lightning.nn.network import Network, Shape


class Identity(Network):
    """Return the input: an encoder whose code is the input itself.

    Raises:
        UsageError: if the sizes of input and output differ.
    """

    def build(self, inputs: Shape, outputs: Shape, mirror: Network | None = None) -> None:
        refuse_resizing(self, inputs, outputs)
        self.outputs = tuple(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, *self.outputs)


class Residual(Network):
    r"""Add a network's scaled output to its input: r(z) = z + c n(z).

    After an `Identity` encoder and with c = σ², the network n of a denoising autoencoder is itself
    the estimate of the score, (r(x̃) − x̃)/σ² = n(x̃), whose size does not vanish with σ.

    Args:
        network: n.
        scale: c.

    Raises:
        UsageError: if the sizes of input and output differ.

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
    """Raise UsageError if a network that keeps the size of its input is asked to change it."""
    given, wanted = math.prod(inputs), math.prod(outputs)
    if given != wanted:
        raise UsageError(
            f"{type(network).__name__} keeps the size of its input, {given}, but must return "
            f"{wanted} values: set latent to the data's size, with a Dirac posterior."
        )
