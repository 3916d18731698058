"""Convolutional networks for images."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ae_lightning.core.errors import UsageError
from ae_lightning.nn.network import Network, Shape, activation_of, hidden_of, slope


def _strided(shape: Shape, layers: int) -> tuple[int, int]:
    """Return the height and width of an image after `layers` convolutions of stride 2."""
    if len(shape) != 3 or any(side % 2**layers for side in shape[1:]):
        other = "residual networks (--config resnet)" if len(shape) == 3 else "an MLP"
        raise UsageError(
            f"a convolutional network with {layers} layers of stride 2 needs images (C, H, W) "
            f"whose sides are multiples of {2**layers}, not {tuple(shape)}: use {other}."
        )
    return shape[1] // 2**layers, shape[2] // 2**layers


def _refuse_empty(channels: Sequence[int], hidden: int) -> None:
    """Refuse an empty list of convolutions, and layers without units."""
    if not channels or min(hidden, *channels) < 1:
        raise UsageError(
            f"channels {list(channels)}, hidden {hidden}: expected at least one convolution, and "
            "at least one unit in every layer."
        )


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
    explicit = True

    def __init__(
        self, channels: Sequence[int] = (16, 32), hidden: int = 256, activation: str = "SiLU"
    ) -> None:
        super().__init__()
        self.channels, self.hidden, self.activation = tuple(channels), hidden, activation
        _refuse_empty(self.channels, hidden)

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

    def pull_back(self, x: Tensor, features: Tensor, v: Tensor) -> Tensor:
        *maps, u = hidden_of(self, x, features)
        *convolutional, _, hidden, activation, last = self.layers
        v = (v @ last.weight[: v.shape[-1]] * slope(activation, u)) @ hidden.weight
        v = v.unflatten(2, maps[-1].shape[1:] if maps else x.shape[1:])
        # Each has an activation of its own, which may have learned: PReLU's slopes differ.
        pairs = zip(convolutional[-2::-2], convolutional[::-2], reversed(maps), strict=True)
        for convolution, activation, u in pairs:
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
        _refuse_empty(self.channels, hidden)

    def build(self, inputs: Shape, outputs: Shape, mirror: Network | None = None) -> None:
        height, width = _strided(outputs, len(self.channels))
        sizes = (*self.channels, outputs[0])
        ups = [nn.ConvTranspose2d(a, b, 4, 2, 1) for a, b in pairwise(sizes)]
        widths = (math.prod(inputs), self.hidden, sizes[0] * height * width)
        head = [nn.Linear(a, b) for a, b in pairwise(widths)]
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
