"""Small pictures in the house style: each a figure of its own, so that a page can stack them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ae_lightning.callbacks.drawing.theme import house_style, montage, new_figure, show_image

WIDTH, HEIGHT = 3.6, 3.0  # inches


def panel(title: str, x: str = "", y: str = "", height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Return a small figure, and its only axes with title and labels."""
    figure = new_figure(WIDTH, height)
    with house_style():
        axes = figure.add_subplot()
        axes.set_title(title)
        axes.set(xlabel=x, ylabel=y)
    return figure, axes


def matrix(title: str, values: Tensor, x: str, y: str, most: float = 1.0) -> Figure:
    """Draw a matrix with values in [0, most] as a heat map."""
    figure, axes = panel(title, x, y)
    shown = axes.imshow(values.detach().double().numpy(), cmap="Blues", vmin=0, vmax=most)
    ticks = {"x": range(values.shape[1]), "y": range(values.shape[0])}
    for which, places in ticks.items():
        axes.set(**{f"{which}ticks": places, f"{which}ticklabels": [p + 1 for p in places]})
    with house_style():
        figure.colorbar(shown, ax=axes, shrink=0.8)
    return figure


def strips(title: str, rows: dict[str, Tensor], height: float | None = None) -> Figure:
    """Draw images (N, C, H, W) in labelled rows, each scaled to its own range around zero."""
    count, _, h, w = next(iter(rows.values())).shape
    figure = new_figure(WIDTH, height or (0.8 * WIDTH / count * h / w + 0.08) * len(rows) + 0.4)
    with house_style():
        grid = figure.subplots(len(rows), squeeze=False)[:, 0]
        for axes, (label, images) in zip(grid, rows.items(), strict=True):
            most = images.flatten(1).abs().amax(1).view(-1, 1, 1, 1).clamp(min=1e-12)
            show_image(axes, montage(images / most / 2 + 0.5, what=label))
            beside = {"transform": axes.transAxes, "ha": "right", "va": "center"}
            axes.text(-0.02, 0.5, label, **beside)
        grid[0].set_title(title)
    return figure


def loglog(
    axes: Axes, x: Any, curves: dict[str, Any], ticks: list[float], styles: str = "o-"
) -> None:
    """Draw named curves on logarithmic axes, with a legend and these ticks along x."""
    for name, y in curves.items():
        axes.loglog(np.asarray(x), np.asarray(y), styles, label=name, markersize=4)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    legend(axes)


def legend(axes: Axes, **options: Any) -> None:
    """Add a legend in the house style."""
    with house_style():
        axes.legend(**options)
