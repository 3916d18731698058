"""Vectors, drawn as points of a plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from .theme import label_axes, project

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def show_points(axes: Axes, points: Tensor, onto: tuple[Tensor, Tensor], **how: Any) -> None:
    """Scatter vectors (N, D) in a plane (see `style.plane`), whose axes are named."""
    axes.scatter(*project(points.flatten(1), onto).T, **({"s": 4, "linewidths": 0} | how))
    name_axes(axes, points[0].numel())


def name_axes(axes: Axes, dimension: int) -> None:
    """Name the axes of a plane of vectors of this dimension."""
    label_axes(axes, ("x₁", "x₂") if dimension <= 2 else ("first direction", "second direction"))
