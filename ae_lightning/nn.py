"""Networks: maps between shapes, wired by the autoencoder that owns them, and code activations."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from ae_lightning.distributed import gather
from ae_lightning.parts import Part, UsageError, nearest

Shape = Sequence[int]

ROWS = 2**14  # rows of Jacobians, over the batch, that an exact norm holds in memory at once


def activation_of(name: str) -> nn.Module:
    """Build an activation of torch.nn by its name.

    >>> activation_of("SiLU")
    SiLU()
    """
    mixing = {"GLU", "MultiheadAttention", "Softmax", "Softmax2d", "Softmin", "LogSoftmax"}
    known = {n: getattr(nn, n) for n in nn.modules.activation.__all__ if n not in mixing}
    if name not in known:
        raise UsageError(
            f"activation {name} is not an elementwise one of torch.nn's: {nearest(name, known)}"
        )
    try:
        return known[name]()  # type: ignore[no-any-return]
    except TypeError:
        raise UsageError(f"activation {name} needs arguments: choose an elementwise one.") from None


def slope(a: Callable[[Tensor], Tensor], u: Tensor) -> Tensor:
    """a'(u) of an elementwise map, differentiable where gradients are enabled.

    >>> slope(torch.square, torch.tensor([1.0, 3.0])).detach()
    tensor([2., 6.])
    """
    tracked = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():
        # As a tensor of its own, u is told from what a may have learned of it before.
        u = u.view_as(u) if u.requires_grad else u.clone().requires_grad_()
        h = a(u)
        return torch.autograd.grad(h, u, torch.ones_like(h), create_graph=tracked)[0]


def hidden_of(network: Network, x: Tensor, features: Tensor) -> list[Tensor]:
    """What came before each activation, on the way from x to the network's output `features`."""
    if not hasattr(features, "hidden"):
        with torch.enable_grad():
            features = network.forward(x)  # never compiled
    return features.hidden  # type: ignore[attr-defined, no-any-return]


class Network(Part, ABC):
    """A map from inputs to outputs; the autoencoder calls `build` once, with both shapes."""

    built = False

    @abstractmethod
    def build(self, inputs: Shape, outputs: Shape, mirror: Network | None = None) -> None:
        """Make the weights. A decoder is given the encoder as `mirror`."""

    def centre(self, inputs: Tensor | None, outputs: Tensor | None) -> None:
        """Take inputs from their mean (*S), and start with the output at its mean."""

    @property
    def explicit(self) -> bool:
        """Whether `pull_back` is there, as cheaper than autograd's."""
        return False

    def pull_back(self, x: Tensor, features: Tensor, v: Tensor) -> Tensor:
        """vᵀ ∂u/∂x for n vectors v on the first K outputs u: (n, B, K) -> (n, B, D).

        Args:
            features: this network's output at x, which may know more of how it came about.
        """
        raise NotImplementedError

    def squared_gradients(self, x: Tensor, features: Tensor, rows: int) -> Tensor:
        """‖∂u_j/∂x‖² of the first `rows` outputs u_j: (B, rows)."""
        basis = torch.eye(rows, dtype=x.dtype, device=x.device)[:, None].expand(-1, len(x), -1)
        chunks = basis.split(max(1, ROWS // len(x)))
        return torch.cat([self.pull_back(x, features, v).square().sum(2) for v in chunks]).T

    def atoms(self) -> Tensor:
        """The first weight matrix (H, K), whose columns a code combines."""
        raise UsageError(f"{type(self).__name__} does not name a first weight matrix as its atoms.")

    def tied(self) -> list[nn.Parameter]:
        """The parameters of another network that this one uses as its own."""
        return []


class UnitColumns(nn.Module):
    """A parametrization that keeps a matrix's columns at unit Euclidean norm."""

    def forward(self, W: Tensor) -> Tensor:
        return F.normalize(W, dim=0)

    def right_inverse(self, W: Tensor) -> Tensor:
        return W


class MLP(Network):
    """A multilayer perceptron; without widths, one affine map.

    Args:
        widths: the hidden layers' widths, from input to output.
        activation: an activation of torch.nn, by name, after every hidden layer.
        dropout: probability of zeroing a hidden unit.
        unit_columns: keep the first layer's columns at unit norm, so that a decoder cannot
            undo a penalty on the code by growing its weights.

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
        # A mean left in the input conditions the first layer badly: PCA is then not reached.
        self.register_buffer("mean", torch.zeros(sizes[0]))
        self.layers = nn.ModuleList(map(nn.Linear, sizes, sizes[1:]))
        if self.unit_columns:
            self._mirror_atoms(mirror)
            register_parametrization(self.layers[0], "weight", UnitColumns())

    @torch.no_grad()
    def _mirror_atoms(self, mirror: Network | None) -> None:
        """Start a dictionary as an affine encoder's transpose: under TopK more units die else."""
        first = self.layers[0]
        if isinstance(mirror, MLP) and not mirror.widths:
            W = mirror.layers[0].weight
            if W.T.shape == first.weight.shape:
                first.weight.copy_(W.T)

    def forward(self, x: Tensor) -> Tensor:
        *layers, last = self.layers
        hidden, h = [], x.flatten(1) - self.mean
        for layer in layers:
            hidden.append(layer(h))
            h = self.activation(hidden[-1])
            if self.dropout:
                h = F.dropout(h, self.dropout, self.training)
        features: Tensor = last(h).unflatten(1, self.outputs)
        if torch.is_grad_enabled():
            # The graph holds them anyway, and a Jacobian's penalty need not compute them again.
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
    """‖A W‖² by rows: (B, K, H), (H, D) -> (B, K), with one product for A's gradient, not two."""

    @staticmethod
    def forward(ctx: Any, A: Tensor, W: Tensor) -> Tensor:
        W = W.to(A.dtype)  # which autocast may have lowered
        AG = A @ (W @ W.T)
        ctx.save_for_backward(A, W, AG)
        return (AG * A).sum(-1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        A, W, AG = ctx.saved_tensors
        if torch.is_grad_enabled():  # a derivative of this one is wanted: no constant will do
            AG = A @ (W @ W.T)
        gA = g[..., None] * A
        dW = 2 * (gA.flatten(0, 1).T @ A.flatten(0, 1)) @ W
        return 2 * g[..., None] * AG, dW


class TiedMLP(Network):
    """Decode by the encoder's weights transposed, layer by layer; only the biases are its own."""

    biases: Any  # nn.ParameterList

    def build(self, inputs: Shape, outputs: Shape, mirror: Network | None = None) -> None:
        if not isinstance(mirror, MLP):
            name = type(mirror).__name__
            raise UsageError(f"TiedMLP mirrors an MLP encoder, and the encoder is {name}.")
        if mirror.layers[-1].out_features != math.prod(inputs):
            raise UsageError(
                "TiedMLP needs an encoder that ends in the code itself: use the Dirac posterior."
            )
        self.outputs = tuple(outputs)
        if mirror.layers[0].in_features != math.prod(outputs):
            raise UsageError("TiedMLP gives one value a pixel: this likelihood needs more.")
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


def _strided(shape: Shape, layers: int) -> tuple[int, int]:
    """The height and width that `layers` convolutions of stride 2 leave of an image's."""
    if len(shape) != 3 or any(side % 2**layers for side in shape[1:]):
        raise UsageError(
            f"a convolutional network with {layers} layers of stride 2 needs images (C, H, W) with "
            f"sides that are multiples of {2**layers}, and these are {tuple(shape)}: use an MLP."
        )
    return shape[1] // 2**layers, shape[2] // 2**layers


def _with_activation(layers: Iterable[nn.Module], activation: str) -> list[nn.Module]:
    return [m for layer in layers for m in (layer, activation_of(activation))]


class ConvEncoder(Network):
    """Convolutions of kernel 4 and stride 2, then one hidden layer.

    Args:
        channels: the convolutions' channels; each halves the image's sides.
        hidden: the width of the fully connected layer before the output.
        activation: an activation of torch.nn, by name.
    """

    layers: Any  # nn.Sequential

    def __init__(
        self, channels: Sequence[int] = (16, 32), hidden: int = 256, activation: str = "SiLU"
    ) -> None:
        super().__init__()
        self.channels, self.hidden, self.activation = tuple(channels), hidden, activation

    def build(self, inputs: Shape, outputs: Shape, mirror: Network | None = None) -> None:
        height, width = _strided(inputs, len(self.channels))
        sizes = (inputs[0], *self.channels)
        convolutions = [nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(sizes)]
        hidden = nn.Linear(sizes[-1] * height * width, self.hidden)
        self.layers = nn.Sequential(
            *_with_activation(convolutions, self.activation),
            nn.Flatten(),
            *_with_activation([hidden], self.activation),
            nn.Linear(self.hidden, math.prod(outputs)),
        )

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return self.layers(x)  # type: ignore[no-any-return]
        outputs = [x]
        for layer in self.layers:
            outputs.append(layer(outputs[-1]))
        features = outputs[-1]
        *convolutions, _, hidden, _, _ = outputs[1:]
        features.hidden = [*convolutions[::2], hidden]  # type: ignore[attr-defined]
        return features

    @property
    def explicit(self) -> bool:
        return True

    def pull_back(self, x: Tensor, features: Tensor, v: Tensor) -> Tensor:
        *maps, u = hidden_of(self, x, features)
        *convolutional, _, hidden, activation, last = self.layers
        v = (v @ last.weight[: v.shape[-1]] * slope(activation, u)) @ hidden.weight
        v = v.unflatten(2, maps[-1].shape[1:] if maps else x.shape[1:])
        for convolution, u in zip(convolutional[-2::-2], reversed(maps), strict=True):
            v = (v * slope(activation, u)).flatten(0, 1)
            v = F.conv_transpose2d(v, convolution.weight, None, 2, 1).unflatten(0, (-1, len(x)))
        return v.flatten(2)


class ConvDecoder(Network):
    """The mirror of `ConvEncoder`: one hidden layer, then transposed convolutions.

    Args:
        channels: the convolutions' channels, from code to image; each doubles the sides.
        hidden: the width of the fully connected layer after the code.
        activation: an activation of torch.nn, by name.
    """

    layers: Any  # nn.Sequential

    def __init__(
        self, channels: Sequence[int] = (32, 16), hidden: int = 256, activation: str = "SiLU"
    ) -> None:
        super().__init__()
        self.channels, self.hidden, self.activation = tuple(channels), hidden, activation

    def build(self, inputs: Shape, outputs: Shape, mirror: Network | None = None) -> None:
        height, width = _strided(outputs, len(self.channels))
        sizes = (*self.channels, outputs[0])
        ups = [nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in pairwise(sizes)]
        head = [
            nn.Linear(math.prod(inputs), self.hidden),
            nn.Linear(self.hidden, sizes[0] * height * width),
        ]
        self.layers = nn.Sequential(
            nn.Flatten(),
            *_with_activation(head, self.activation),
            nn.Unflatten(1, (sizes[0], height, width)),
            *_with_activation(ups[:-1], self.activation),
            ups[-1],
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)  # type: ignore[no-any-return]

    def atoms(self) -> Tensor:
        return self.layers[1].weight  # type: ignore[no-any-return]

    @torch.no_grad()
    def centre(self, inputs: Tensor | None, outputs: Tensor | None) -> None:
        if outputs is not None:
            self.layers[-1].bias.copy_(outputs.mean((1, 2)))


class Activation(Part, ABC):
    """What makes the encoder's features the code, and what it promises of it."""

    elementwise: ClassVar[bool] = True  # each code depends on its own feature alone
    normalised: ClassVar[bool] = False  # the code's scale cannot shrink

    def build(self, latent: int) -> None:
        """Learn the code's size."""

    @abstractmethod
    def forward(self, u: Tensor) -> Tensor:
        """Map features (B, K) to the code (B, K)."""


class Sigmoid(Activation):
    """Codes in (0, 1), as a target activation or a saturating contraction needs them."""

    def forward(self, u: Tensor) -> Tensor:
        return u.sigmoid()


class Rectifier(Activation):
    """Codes max(u, 0), exactly zero where inactive."""

    def forward(self, u: Tensor) -> Tensor:
        return u.relu()


class TopK(Activation):
    """Keep the k largest features of each example, and set the others to zero.

    References:
        | k-Sparse Autoencoders (Makhzani and Frey, 2013)
    """

    def __init__(self, k: int = 25) -> None:
        super().__init__()
        self.k = k

    def build(self, latent: int) -> None:
        if not 1 <= self.k <= latent:
            raise UsageError(f"TopK k is {self.k}: expected 1 to {latent}, the latent size.")

    def forward(self, u: Tensor) -> Tensor:
        values, places = u.topk(self.k, dim=1)
        return torch.zeros_like(u).scatter(1, places, values)


class UnitNorm(Activation):
    """Codes on the unit sphere."""

    elementwise = False
    normalised = True

    def forward(self, u: Tensor) -> Tensor:
        return F.normalize(u, dim=1)


class UnitVariance(Activation):
    """Codes of zero mean and unit variance over the batch, and over the data in evaluation.

    A Jacobian is taken with the statistics of the latest batch held fixed in x (see
    `geometry.fixed_statistics`); in the weights they are differentiated, so that shrinking the
    features shrinks no penalty.
    """

    normalised = True
    momentum, eps = 0.05, 1e-6
    mean: Tensor  # over the data (K,)
    variance: Tensor  # (K,)

    def build(self, latent: int) -> None:
        self.fixed = False
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("variance", torch.ones(latent))
        self.batch: tuple[Tensor, Tensor] | None = None

    def forward(self, u: Tensor) -> Tensor:
        if self.training and self.fixed and self.batch is not None:
            mean, variance = self.batch
        elif self.training and not self.fixed:
            batch = gather(u)
            mean, variance = self.batch = batch.mean(0), batch.var(0, unbiased=False)
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.variance.lerp_(variance, self.momentum)
        else:
            mean, variance = self.mean, self.variance
        return (u - mean) / (variance + self.eps).sqrt()

    def __getstate__(self) -> dict[str, Any]:
        # The latest batch's statistics carry a graph, which cannot be copied.
        return {**self.__dict__, "batch": None}
