"""Interpolations: what lies between the codes of two examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ae_lightning.core.types import Pair

from .drawing.latent import linear, spherical
from .drawing.points import name_axes, show_points
from .drawing.theme import (
    COLOURS,
    FAINT,
    grid_figure,
    is_image,
    limits_of,
    new_figure,
    plane,
    project,
)
from .picture import PictureCallback, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@picture
def interpolation(model: Any, a: Tensor, b: Tensor, steps: int = 9) -> Figure:
    """Draw the decoded codes between those of examples a and b, linearly and spherically.

    The examples themselves stand at both ends of a row. Of vectors, the decoded paths are drawn.

    Args:
        model: an AutoEncoder.
        a, b: the examples (P, *S), on the model's device.
        steps: how many codes to decode, both ends among them.
    """
    vectors = not is_image(model.shape)
    t = torch.linspace(0, 1, 61 if vectors else steps).to(a)
    ends = model.code(a), model.code(b)
    z = torch.stack([linear(*ends, t), spherical(*ends, t)], dim=1)  # (P, 2, T, K)
    decoded = model.decode(z).mean  # (P, 2, T, *S)
    title = "Interpolation between the codes of two examples"
    if vectors:
        return _paths(torch.cat([a, b]), decoded, title)
    first, last = (end[:, None, None].expand(-1, 2, 1, *end.shape[1:]) for end in (a, b))
    images = torch.cat([first, decoded, last], dim=2).flatten(0, 1)  # (2P, T + 2, *S)
    marks = [f"{value:g}" if 4 * value % 1 == 0 else "" for value in t.tolist()]
    names = ["x", *marks, "x'"]
    rows = ["linear", "spherical"] * len(a)
    return grid_figure(images, title, rows, names, limits_of(model, a))


def _paths(x: Tensor, decoded: Tensor, title: str) -> Figure:
    figure = new_figure(5.0, 4.2)
    axes = figure.subplots()
    onto = plane(x.flatten(1))
    show_points(axes, x, onto, color=FAINT, s=12)
    for pair in decoded:
        for path, colour, style in zip(pair, COLOURS, ("-", "--"), strict=False):
            axes.plot(*project(path.flatten(1), onto).T, style, color=colour)
    for name, colour, style in zip(("linear", "spherical"), COLOURS, ("-", "--"), strict=False):
        axes.plot([], [], style, color=colour, label=name)
    name_axes(axes, x[0].numel())
    axes.set_title(title)
    axes.legend()
    return figure


class Interpolation(PictureCallback):
    """Draw `interpolation` between the validation examples, two by two; an odd one is left out."""

    name: ClassVar[str] = "interpolation"
    caption: ClassVar[str] = (
        "Codes between those of two validation examples, which stand at both ends, decoded: in a "
        "straight line, and along the great circle. Right when every step is a plausible example; "
        "two images faded into one another mean that the code has holes."
    )

    def __init__(self, every_n_epochs: int = 0, items: int = 8, **common: Any) -> None:
        super().__init__(every_n_epochs, max(2, items), **common)

    def draw(self, model: Any, pair: Pair) -> Figure:
        half = len(pair.x) // 2
        return interpolation(model, pair.x[:half], pair.x[half : 2 * half])
