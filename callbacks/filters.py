"""Filters: the weights next to the data, as images."""

import math
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.model import Model

from .drawing import images
from .drawing.theme import Figure, drawable
from .picture import PictureCallback, picture

SHOWN, SIDE_BY_SIDE = 36, 6  # filters of a layer, and how many in a row
PAIRS, IN_A_ROW = 36, 6  # units of which both filters are shown
COLOUR_LEVELS = 16  # on either side of 0
GAP = 20  # pixels between the panels


def encoder_filters(model: Model) -> Tensor | None:
    """The rows of the encoder's first layer as images (N, C, H, W), or None if it has none."""
    layers = [m for m in model.encoder.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return as_images(layers[0].weight, model.shape) if layers else None


def decoder_filters(model: Model) -> Tensor | None:
    """The columns of the decoder's last layer as images (N, C, H, W), or None if it has none.

    A tied decoder has no weights of its own.
    """
    kinds = nn.Linear | nn.ConvTranspose2d | nn.Conv2d
    layers = [m for m in model.decoder.modules() if isinstance(m, kinds)]
    if not layers:
        return None
    weight = layers[-1].weight
    already = isinstance(layers[-1], nn.ConvTranspose2d)  # (in, C, h, w)
    return as_images(weight if already else weight.transpose(0, 1), model.shape)


def as_images(weight: Tensor, shape: tuple[int, ...]) -> Tensor | None:
    """Weights (N, D) or (N, C, h, w) as images of the data's channels, or None if they are not."""
    if weight.dim() == 2 and weight.shape[1] == math.prod(shape):
        return weight.unflatten(1, shape)  # type: ignore[no-any-return]
    if weight.dim() == 4 and weight.shape[1] == shape[0]:
        return weight
    return None


def share_units(model: Model) -> bool:
    """Whether unit k of the first layer is unit k of the last: one layer each way, and untied."""
    first = [m for m in model.encoder.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    last = [m for m in model.decoder.modules() if isinstance(m, nn.Linear)]
    return (
        len(first) == len(last) == 1
        and isinstance(first[0], nn.Linear)
        and last[0].in_features == model.latent <= first[0].out_features
    )


@picture
def filters(model: Model, x: Tensor | None = None) -> Figure:
    """Draw what the encoder's first layer looks for, and what the decoder's last layer paints.

    These are the first layer's rows and the last layer's columns (or kernels), the largest first,
    on one scale per layer. If encoder and decoder have one layer each, both images of a unit stand
    side by side, sorted by the product of their lengths; otherwise they are of different units.

    Args:
        x: examples (B, *S); the rows are multiplied by their standard deviation σ, and so show
            what a usual change of each input does. The weight of an input that hardly varies stays
            as it was before training, and would be speckle.

    Raises:
        UsageError: if neither layer's weights have the form of images.

    References:
        | Emergence of Simple-Cell Receptive Field Properties (Olshausen and Field, 1996)
    """
    if (reason := without_filters(model)) is not None:
        raise UsageError(reason)
    rows, columns = encoder_filters(model), decoder_filters(model)
    times = ""
    if x is not None and rows is not None and rows.shape[1:] == x.shape[1:]:
        rows, times = rows * x.std(0, unbiased=False), ", times σ of x"
    if rows is not None and columns is not None and share_units(model):
        return _pairs(drawable(rows[: model.latent], "a row"), drawable(columns, "a column"), times)
    panels = {}
    for name, w in ((f"first layer{times}", rows), ("last layer", columns)):
        if w is not None:
            w = drawable(w, name)
            order = w.flatten(1).norm(dim=1).argsort(descending=True, stable=True)[:SHOWN]
            of = f"{len(order)} of {len(w)}" if len(order) < len(w) else f"all {len(w)}"
            colours, limit = _coloured(w, order)
            panels[f"{name}: {of}, ±{limit:.2g}"] = _tiled(colours, SIDE_BY_SIDE)
    return _side_by_side(panels)


def _pairs(rows: Tensor, columns: Tensor, times: str) -> Figure:
    """Draw the two images of every unit (K, C, H, W) side by side, on a scale for each layer."""
    product = rows.flatten(1).norm(dim=1) * columns.flatten(1).norm(dim=1)
    order = product.argsort(descending=True, stable=True)[:PAIRS]
    (left, low), (right, high) = (_coloured(w, order) for w in (rows, columns))
    gap = left.new_ones(*left.shape[:3], 1)
    edge = left.new_ones(*left.shape[:3], 4)
    of = f"{len(order)} of {len(rows)}" if len(order) < len(rows) else f"All {len(rows)}"
    title = f"{of} units: looks for (left{times}, ±{low:.2g}), and paints (right, ±{high:.2g})"
    return _side_by_side({title: _tiled(torch.cat([left, gap, right, edge], dim=3), IN_A_ROW)})


def _coloured(w: Tensor, order: Tensor) -> tuple[Tensor, float]:
    """Weights (N, C, H, W) in this order as colours (n, 3, H, W), and the end of their scale."""
    limit = images.extent(w)
    # With few levels of colour, the noise of idle weights takes few bytes.
    levels = (w[order] / limit * COLOUR_LEVELS).round() / COLOUR_LEVELS
    return images.signed_colours(levels, 1.0), limit


def _tiled(colours: Tensor, columns: int) -> NDArray[np.float32]:
    """Colours (n, 3, H, W) as one image, so many in a row."""
    empty = colours.new_ones(-len(colours) % columns, *colours.shape[1:])
    return images.tile(torch.cat([colours, empty]).unflatten(0, (-1, columns)))


def _side_by_side(panels: dict[str, NDArray[np.float32]]) -> Figure:
    """Draw images (H, W, C) under their titles."""
    left, places = float(GAP), []
    for title, panel in panels.items():
        scale = images.whole_scale(panel.shape[1], 680 // len(panels))
        width, height = round(panel.shape[1] * scale), round(panel.shape[0] * scale)
        places.append((left, 30, width, height))
        left += max(width, 1.15 * images.LETTER * len(title)) + GAP
    figure = images.pixel_figure(left, max(height for *_, height in places) + 50)
    for (title, panel), place in zip(panels.items(), places, strict=True):
        axes = images.place(figure, *place)
        images.show_image(axes, panel, sharp=True)
        axes.set_title(title, fontsize=9)
    return figure


def without_filters(model: Model) -> str | None:
    """Why this model has no filters to look at, or None."""
    if not images.is_image(model.shape):
        return f"filters are drawn as images, and the data is of shape {tuple(model.shape)}."
    if encoder_filters(model) is None and decoder_filters(model) is None:
        return "filters need a first or last layer whose weights are images, and there is none."
    return None


class Filters(PictureCallback):
    """Draw `filters`; the examples show how much each input varies."""

    name: ClassVar[str] = "filters"
    caption: ClassVar[str] = (
        "The weights next to the data, the largest first, red above and blue below zero (of colour "
        "images, in colours about grey): what the encoder's units look for, and what the decoder's "
        "paint; of networks of several layers, these are different units. Strokes, edges and spots "
        "mean that a unit found a part of the images; speckle means that it has learned little. "
        "What is looked for is multiplied by each pixel's standard deviation σ."
    )
    examples: ClassVar[int] = 1000

    def suits(self, model: Model, data: Any) -> str | None:
        return without_filters(model)

    def draw(self, model: Model, pair: Pair) -> Figure:
        return filters(model, pair.x)
