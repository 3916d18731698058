"""Small pictures in the house style: each a figure of its own, so that a page can stack them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from torch import Tensor

from ae_lightning.callbacks.drawing.images import show_image, tile
from ae_lightning.callbacks.drawing.theme import house_style, legend, new_figure

WIDTH, HEIGHT = 3.6, 3.0  # inches


def panel(title: str, x: str = "", y: str = "", height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Return a small figure, and its only axes with title and labels."""
    figure = new_figure(WIDTH, height)
    with house_style():
        axes = figure.add_subplot()
        axes.set_title(title)
        axes.set(xlabel=x, ylabel=y)
    return figure, axes


def matrix(title: str, values: Tensor, x: str, y: str) -> Figure:
    """Draw a matrix with values in [0, 1] as a heat map."""
    figure, axes = panel(title, x, y)
    shown = axes.imshow(values.detach().double().numpy(), cmap="Blues", vmin=0, vmax=1)
    for axis, size in ((axes.xaxis, values.shape[1]), (axes.yaxis, values.shape[0])):
        axis.set_ticks(range(size), [str(i + 1) for i in range(size)])
    colorbar(axes, shown)
    return figure


def strips(title: str, rows: dict[str, Tensor]) -> Figure:
    """Draw images (N, C, H, W) in labelled rows, each image scaled by its largest absolute value,
    with zero in mid-grey."""
    count, _, h, w = next(iter(rows.values())).shape
    figure = new_figure(WIDTH, (0.8 * WIDTH / count * h / w + 0.08) * len(rows) + 0.4)
    with house_style():
        grid = figure.subplots(len(rows), squeeze=False)[:, 0]
        for axes, (label, images) in zip(grid, rows.items(), strict=True):
            most = images.flatten(1).abs().amax(1).view(-1, 1, 1, 1).clamp(min=1e-12)
            show_image(axes, tile((images / most / 2 + 0.5)[None]))
            axes.text(-0.02, 0.5, label, transform=axes.transAxes, ha="right", va="center")
        grid[0].set_title(title)
    return figure


def loglog(axes: Axes, x: Any, curves: dict[str, Any], ticks: Sequence[float]) -> None:
    """Draw named curves on logarithmic axes, with a legend and these ticks along x."""
    for name, y in curves.items():
        axes.loglog(np.asarray(x), np.asarray(y), "o-", label=name, markersize=4)
    set_ticks(axes.xaxis, ticks)
    legend(axes)


def set_ticks(axis: Any, values: Sequence[float]) -> None:
    """Put plain numbers beside a logarithmic axis, at these values and nowhere else."""
    axis.set_ticks(values, [f"{value:g}" for value in values])
    axis.set_ticks([], minor=True)


def colorbar(axes: Axes, shown: ScalarMappable) -> None:
    """Add the scale of a map's colours."""
    with house_style():
        axes.figure.colorbar(shown, ax=axes, shrink=0.8)
