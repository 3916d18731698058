"""Residual networks for images of any size, whose code may keep its place."""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ae_lightning.core.errors import UsageError, at_least
from ae_lightning.nn.blocks import (
    Attention,
    Block,
    Place,
    Unit,
    Up,
    norm,
    pixelwise,
    through,
    zeroed,
)
from ae_lightning.nn.network import Network, Shape, activation_of

LOWEST = 8  # pixels, to which the longer side is halved
WIDEST = 256  # channels


class Levels(NamedTuple):
    """The channels of each level, from half the image's size down, and the lowest one's sides."""

    channels: list[int]
    grid: tuple[int, int]

    @property
    def sides(self) -> tuple[int, int]:
        """The height and width of the padded image, which halve as often as there are levels."""
        scale = 2 ** len(self.channels)
        return self.grid[0] * scale, self.grid[1] * scale


def levels(shape: Shape, width: int | None, halvings: int | None) -> Levels:
    """Return the levels for images of a shape (C, H, W), as `ResidualEncoder` describes them.

    >>> levels((3, 64, 64), None, None)
    Levels(channels=[16, 32, 64], grid=(8, 8))
    >>> levels((3, 250, 100), None, None).sides
    (256, 128)
    """
    if len(shape) != 3:
        raise UsageError(
            f"a residual network needs images (C, H, W), and the data are {tuple(shape)}: "
            "use an MLP."
        )
    longest = max(shape[1:])
    most = max(1, math.ceil(math.log2(longest)))
    least = max(1, math.ceil(math.log2(longest / LOWEST)))
    halvings = least if halvings is None else halvings
    if halvings > most:
        raise UsageError(
            f"halvings is {halvings}: images of shape {tuple(shape)} halve at most {most} times."
        )
    width = (32 if longest <= 32 else 16) if width is None else width
    channels = [max(width, min(width * 2**i, WIDEST)) for i in range(halvings)]
    height, across = (math.ceil(side / 2**halvings) for side in shape[1:])
    return Levels(channels, (height, across))


def channels_of(values: int, grid: tuple[int, int], name: str = "latent") -> int:
    """How many channels so many values have on a grid.

    Raises:
        UsageError: if they do not fill it.

    >>> channels_of(256, (8, 8))
    4
    """
    places = math.prod(grid)
    if values % places or not values:
        near = max(1, round(values / places)) * places
        raise UsageError(
            f"{name} is {values}: a code that keeps its place has channels × {grid[0]} × {grid[1]} "
            f"values here; choose a multiple of {places}, such as {near}."
        )
    return values // places


class Residual2d(Network):
    """What the residual encoder and decoder share: their arguments."""

    layers: Any  # nn.Sequential
    mean: Tensor  # of the images

    def __init__(
        self,
        width: int | None = None,
        blocks: int = 1,
        halvings: int | None = None,
        attention: bool = False,
        activation: str = "SiLU",
        recompute: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("width", width), ("halvings", halvings)):
            if value is not None:
                at_least(name, value, 1)
        at_least("blocks", blocks, 0)
        self.width, self.blocks, self.halvings = width, blocks, halvings
        self.attention, self.activation, self.recompute = attention, activation, recompute
        activation_of(activation)

    def level(self, channels: int) -> list[nn.Module]:
        """The blocks of a level."""
        return [Block(channels, self.activation) for _ in range(self.blocks)]


class ResidualEncoder(Residual2d):
    """Residual blocks at half the image's size, a quarter, and so on, then one linear map.

    Images may have any sides: they are padded with their mean to sides that halve. Each halving
    doubles the channels, up to 256.

    Args:
        width: channels at half the image's size; if None, 32 up to 32 pixels, and 16 above.
        blocks: residual blocks at each size.
        halvings: how often the sides are halved; if None, until the longer one is at most 8.
        attention: let all places of the lowest level attend to one another.
        activation: an activation of torch.nn, by name.
        recompute: compute hidden values anew in the backward pass, instead of keeping them.
        spatial: let the code keep its place: it is channels × height × width of the lowest level,
            flattened, and a `ResidualDecoder` follows suit. `latent` is then a multiple of
            height × width.

    Raises:
        UsageError: if the data are no images, or a code that keeps its place does not fit.

    References:
        | Deep Residual Learning for Image Recognition (He et al., 2016)
        | Group Normalization (Wu and He, 2018)
        | High-Resolution Image Synthesis with Latent Diffusion Models (Rombach et al., 2022)

    >>> encoder = ResidualEncoder(spatial=True)
    >>> encoder.build((3, 50, 36), (4 * 7 * 5,))
    >>> encoder.grid((3, 50, 36)), encoder(torch.zeros(2, 3, 50, 36)).shape
    ((7, 5), torch.Size([2, 140]))
    """

    def __init__(
        self,
        width: int | None = None,
        blocks: int = 1,
        halvings: int | None = None,
        attention: bool = False,
        activation: str = "SiLU",
        recompute: bool = False,
        spatial: bool = False,
    ) -> None:
        super().__init__(width, blocks, halvings, attention, activation, recompute)
        self.spatial = spatial

    def build(self, inputs: Shape, outputs: Shape, mirror: Network | None = None) -> None:
        channels, lowest = plan = levels(inputs, self.width, self.halvings)
        self.sides, features = plan.sides, math.prod(outputs)
        self.register_buffer("mean", torch.zeros(*inputs))
        layers: list[nn.Module] = [nn.Conv2d(inputs[0], channels[0], 4, 2, 1)]
        for i, c in enumerate(channels):
            layers += [nn.Conv2d(channels[i - 1], c, 3, 2, 1)] if i else []
            layers += self.level(c)
        layers += [Attention(c)] if self.attention else []
        layers += [norm(c), activation_of(self.activation)]
        if self.spatial:
            layers += [nn.Conv2d(c, channels_of(features, lowest, "the features"), 1)]
        else:
            layers += [nn.Flatten(), nn.Linear(c * math.prod(lowest), features)]
        self.layers = nn.Sequential(*layers)

    def grid(self, shape: Shape) -> tuple[int, int] | None:
        return levels(shape, self.width, self.halvings).grid if self.spatial else None

    def forward(self, x: Tensor) -> Tensor:
        x = pixelwise(F.pad(x - self.mean, margins(x.shape[2:], self.sides)))
        return through(self.layers, x, self.recompute).flatten(1)

    @torch.no_grad()
    def centre(self, inputs: Tensor | None, outputs: Tensor | None) -> None:
        if inputs is not None:
            self.mean.copy_(inputs)


class ResidualDecoder(Residual2d):
    """The mirror of `ResidualEncoder`: one linear map, residual blocks, and sides that double.

    It starts as the mean image, and keeps the place of a code that keeps it. Its arguments are
    those of `ResidualEncoder`.

    Raises:
        UsageError: if the data are no images, or the encoder's code keeps its place at another
            size.

    >>> decoder = ResidualDecoder()
    >>> decoder.build((2,), (3, 50, 36))
    >>> decoder(torch.zeros(4, 2)).shape
    torch.Size([4, 3, 50, 36])
    """

    def build(self, inputs: Shape, outputs: Shape, mirror: Network | None = None) -> None:
        channels, lowest = plan = levels(outputs, self.width, self.halvings)
        self.sides, latent = plan.sides, math.prod(inputs)
        grid = None if mirror is None else mirror.grid(outputs)
        if grid not in (None, lowest):
            raise UsageError(
                f"the encoder's code lies on a grid of {grid}, and ResidualDecoder begins at "
                f"{lowest}: give both the same halvings."
            )
        self.register_buffer("mean", torch.zeros(*outputs))
        c = channels[-1]
        if grid:
            places = channels_of(latent, grid)
            layers: list[nn.Module] = [Place(places, *grid), nn.Conv2d(places, c, 1)]
        else:
            layers = [nn.Linear(latent, c * math.prod(lowest)), Place(c, *lowest)]
        layers += [Attention(c)] if self.attention else []
        for c, above in zip(
            channels[::-1], [*channels[-2::-1], max(1, channels[0] // 2)], strict=True
        ):
            layers += [*self.level(c), Up(c, above)]
        image = zeroed(nn.Conv2d(above, outputs[0], 3, padding=1))
        self.layers = nn.Sequential(
            *layers, Unit(norm(above), activation_of(self.activation), image)
        )

    def forward(self, z: Tensor) -> Tensor:
        image = through(self.layers, z.flatten(1), self.recompute)
        margin = margins(self.mean.shape[1:], self.sides)
        return F.pad(image, [-m for m in margin]) + self.mean

    @torch.no_grad()
    def centre(self, inputs: Tensor | None, outputs: Tensor | None) -> None:
        if outputs is not None:
            self.mean.copy_(outputs)


def margins(sides: Shape, padded: Shape) -> list[int]:
    """What is added left, right, above and below to pad an image.

    >>> margins((50, 36), (56, 40))
    [2, 2, 3, 3]
    """
    (top, left) = ((large - small) // 2 for small, large in zip(sides, padded, strict=True))
    return [left, padded[1] - sides[1] - left, top, padded[0] - sides[0] - top]
