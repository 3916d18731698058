"""Multilayer perceptrons, and decoders that share an encoder's weights."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from ae_lightning.core.errors import UsageError
from ae_lightning.nn.network import Network, Shape, activation_of, hidden_of, slope


class UnitColumns(nn.Module):
    """A parametrization that keeps a matrix's columns at unit Euclidean norm."""

    def forward(self, W: Tensor) -> Tensor:
        return F.normalize(W, dim=0)

    def right_inverse(self, W: Tensor) -> Tensor:
        return W


class MLP(Network):
    """A multilayer perceptron; a single affine map if there are no widths.

    Args:
        widths: the hidden layers' widths, from input to output.
        activation: an activation of torch.nn, by name, after every hidden layer.
        dropout: probability of zeroing a hidden unit.
        unit_columns: keep the first layer's columns at unit norm, so that a decoder without hidden
            layers cannot undo a penalty on the code by growing its weights.

    >>> mlp = MLP(widths=[8])
    >>> mlp.build((1, 4, 4), (3,))
    >>> mlp(torch.zeros(2, 1, 4, 4)).shape
    torch.Size([2, 3])
    """

    layers: Any  # nn.ModuleList of nn.Linear
    activation: Any
    mean: Tensor  # of the inputs (D,)

    def __init__(
        self,
        widths: Sequence[int] = (512, 256),
        activation: str = "SiLU",
        dropout: float = 0.0,
        unit_columns: bool = False,
    ) -> None:
        super().__init__()
        self.widths, self.dropout, self.unit_columns = tuple(widths), dropout, unit_columns
        if min(self.widths, default=1) < 1:
            raise UsageError(f"widths {list(widths)}: every layer needs at least one unit.")
        if not 0 <= dropout < 1:
            raise UsageError(f"dropout is {dropout}: expected a probability in [0, 1).")
        self.activation = activation_of(activation)

    def build(self, inputs: Shape, outputs: Shape, mirror: Network | None = None) -> None:
        self.outputs = tuple(outputs)
        sizes = (math.prod(inputs), *self.widths, math.prod(outputs))
        # A mean left in the input makes the first layer ill-conditioned, and PCA is not reached.
        self.register_buffer("mean", torch.zeros(sizes[0]))
        self.layers = nn.ModuleList(map(nn.Linear, sizes, sizes[1:]))
        if self.unit_columns:
            self._mirror_atoms(mirror)
            register_parametrization(self.layers[0], "weight", UnitColumns())

    @torch.no_grad()
    def _mirror_atoms(self, mirror: Network | None) -> None:
        """Start as the transpose of an affine encoder: without this, more TopK units die."""
        first = self.layers[0]
        if isinstance(mirror, MLP) and not mirror.widths:
            W = mirror.layers[0].weight
            if W.T.shape == first.weight.shape:
                first.weight.copy_(W.T)

    def last_hidden(self, x: Tensor) -> tuple[Tensor, list[Tensor], nn.Module]:
        """Return what the last layer combines (B, H), each activation's input, and that layer."""
        *layers, last = self.layers
        hidden, h = [], x.flatten(1) - self.mean
        for layer in layers:
            hidden.append(layer(h))
            h = self.activation(hidden[-1])
            if self.dropout:
                h = F.dropout(h, self.dropout, self.training)
        return h, hidden, last

    def forward(self, x: Tensor) -> Tensor:
        h, hidden, last = self.last_hidden(x)
        features: Tensor = last(h).unflatten(1, self.outputs)
        if torch.is_grad_enabled():
            # The graph holds them anyway, and a Jacobian penalty can then reuse them.
            features.hidden = hidden  # type: ignore[attr-defined]
        return features

    @torch.no_grad()
    def centre(self, inputs: Tensor | None, outputs: Tensor | None) -> None:
        if inputs is not None:
            self.mean.copy_(inputs.flatten())
        if outputs is not None:
            self.layers[-1].bias.copy_(outputs.flatten())

    def atoms(self) -> Tensor:
        return self.layers[0].weight  # type: ignore[no-any-return]

    @property
    def affine(self) -> bool:
        return not self.widths

    @property
    def holds_scale(self) -> bool:
        return self.affine and self.unit_columns

    @property
    def explicit(self) -> bool:
        return not (self.training and self.dropout)

    def squared_gradients(self, x: Tensor, features: Tensor, rows: int) -> Tensor:
        r"""Push W_L D_{L−1} … D_1 back to the first layer; ‖A W₁‖² by the Gram matrix W₁W₁ᵀ."""
        A = self.layers[-1].weight.flatten(1)[:rows]  # (rows, H)
        if len(self.layers) == 1:
            return A.square().sum(1).expand(len(x), rows)  # type: ignore[no-any-return]
        *slopes, last = [slope(self.activation, u) for u in hidden_of(self, x, features)]
        A = A * last[:, None]  # (B, rows, H)
        for layer, D in zip(self.layers[-2:0:-1], reversed(slopes), strict=True):
            A = (A @ layer.weight) * D[:, None]
        return RowNorms.apply(A, self.layers[0].weight)  # type: ignore[no-any-return]

    def pull_back(self, x: Tensor, features: Tensor, v: Tensor) -> Tensor:
        v = v @ self.layers[-1].weight[: v.shape[-1]]
        for layer, u in zip(self.layers[-2::-1], hidden_of(self, x, features)[::-1], strict=True):
            v = (v * slope(self.activation, u)) @ layer.weight
        return v


class RowNorms(torch.autograd.Function):
    """‖A W‖² by rows: (B, K, H), (H, D) -> (B, K), with one product, not two, for A's gradient."""

    @staticmethod
    def forward(ctx: Any, A: Tensor, W: Tensor) -> Tensor:
        W = W.to(A.dtype)  # autocast may have lowered it
        AG = A @ (W @ W.T)
        ctx.save_for_backward(A, W, AG)
        return (AG * A).sum(-1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        A, W, AG = ctx.saved_tensors
        if torch.is_grad_enabled():  # for a second derivative, AG must not be a constant
            AG = A @ (W @ W.T)
        gA = g[..., None] * A
        dW = 2 * (gA.flatten(0, 1).T @ A.flatten(0, 1)) @ W
        return 2 * g[..., None] * AG, dW


class TiedMLP(Network):
    """Decode with the encoder's transposed weights, layer by layer; only the biases are its own."""

    biases: Any  # nn.ParameterList
    holds_scale = True

    def build(self, inputs: Shape, outputs: Shape, mirror: Network | None = None) -> None:
        if not isinstance(mirror, MLP):
            name = type(mirror).__name__
            raise UsageError(f"TiedMLP mirrors an MLP encoder, but the encoder is of type {name}.")
        if mirror.layers[-1].out_features != math.prod(inputs):
            raise UsageError(
                "TiedMLP needs an encoder whose output is the code itself: use the Dirac posterior."
            )
        self.outputs = tuple(outputs)
        if mirror.layers[0].in_features != math.prod(outputs):
            raise UsageError("TiedMLP gives one value per pixel, but this likelihood needs more.")
        # Kept out of the registered modules, so that the weights are counted once.
        self.__dict__["mirror"] = mirror
        self.biases = nn.ParameterList(
            [nn.Parameter(torch.zeros(layer.in_features)) for layer in reversed(mirror.layers)]
        )

    def forward(self, z: Tensor) -> Tensor:
        mirror: MLP = self.__dict__["mirror"]
        h = z
        for i, (layer, bias) in enumerate(zip(reversed(mirror.layers), self.biases, strict=True)):
            h = F.linear(mirror.activation(h) if i else h, layer.weight.T, bias)
        return h.unflatten(1, self.outputs)  # type: ignore[no-any-return]

    def atoms(self) -> Tensor:
        return self.__dict__["mirror"].layers[-1].weight.mT  # type: ignore[no-any-return]

    def tied(self) -> list[nn.Parameter]:
        return [layer.weight for layer in self.__dict__["mirror"].layers]

    @torch.no_grad()
    def centre(self, inputs: Tensor | None, outputs: Tensor | None) -> None:
        if outputs is not None:
            self.biases[-1].copy_(outputs.flatten())
