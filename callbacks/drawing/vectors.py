"""Vectors drawn as points of a plane."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .theme import COLOURS, FAINT, Axes, Figure, drawable, legend, new_figure


def plane(points: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (D,) and the two leading principal directions (2, D) of points (N, D).

    If D is at most 2, these are the origin and the axes.
    """
    points = points.detach().float().cpu()
    if points.shape[1] <= 2:
        return torch.zeros(points.shape[1]), torch.eye(2, points.shape[1])
    mean = points.mean(0)
    centred = torch.nn.functional.pad(points - mean, (0, 0, 0, 1))  # one point has two directions
    V = torch.linalg.svd(centred, full_matrices=False).Vh[:2]  # (2, D)
    # The sign of a singular vector is arbitrary: make its largest element positive.
    largest = V.gather(1, V.abs().argmax(1, keepdim=True))
    return mean, V * largest.sign()


def project(points: Tensor, onto: tuple[Tensor, Tensor]) -> NDArray[np.float32]:
    """Coordinates (N, 2) of points (N, *S) in a plane."""
    mean, directions = onto
    return ((drawable(points.flatten(1), "the scatter") - mean) @ directions.T).numpy()


def show_points(axes: Axes, points: Tensor, onto: tuple[Tensor, Tensor], **how: Any) -> None:
    """Scatter vectors (N, *S) in a plane (see `plane`), and name its axes."""
    axes.scatter(*project(points, onto).T, **({"s": 4, "linewidths": 0} | how))
    name_axes(axes, points[0].numel())


def name_axes(axes: Axes, dimension: int) -> None:
    """Name the axes of a plane of vectors of this dimension."""
    label_axes(axes, ("x₁", "x₂") if dimension <= 2 else ("first direction", "second direction"))


def label_axes(axes: Axes, names: Sequence[str]) -> None:
    """Name the two axes, and give them one scale; axes that share theirs keep their size."""
    alone = len(axes.get_shared_x_axes().get_siblings(axes)) == 1
    axes.set(xlabel=names[0], ylabel=names[1])
    axes.set_aspect("equal", adjustable="datalim" if alone else "box")
    if alone:
        axes.locator_params(nbins=6)


def clouds_figure(clouds: dict[str, Tensor], width: float, height: float, title: str) -> Figure:
    """Scatter vectors (N, *S) by name, side by side in the plane of the first."""
    figure = new_figure(width, height, title)
    grid = figure.subplots(1, len(clouds), sharex=True, sharey=True)
    onto = plane(next(iter(clouds.values())).flatten(1))
    for axes, (name, points), colour in zip(grid, clouds.items(), COLOURS, strict=False):
        show_points(axes, points, onto, color=colour)
        axes.set_title(name)
        axes.label_outer()
    return figure


def paths_figure(
    x: Tensor,
    title: str,
    kinds: dict[str, Tensor],
    height: float,
    points: dict[str, Any],
    styles: tuple[str, str] = ("-", "-"),
    **how: Any,
) -> Figure:
    """Draw two kinds of paths (n, T, *S), by name, over examples x (B, *S), in their plane."""
    figure = new_figure(5.0, height)
    axes = figure.subplots()
    onto = plane(x.flatten(1))
    show_points(axes, x, onto, color=FAINT, **points)
    for (name, paths), style, colour in zip(kinds.items(), styles, COLOURS, strict=False):
        for i, path in enumerate(paths):
            label = name if i == 0 else None
            axes.plot(*project(path, onto).T, style, color=colour, label=label, **how)
    axes.set_title(title)
    legend(axes)
    return figure
