"""Vectors drawn as points of a plane."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .theme import Axes, drawable


def plane(points: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (D,) and the two leading principal directions (2, D) of points (N, D).

    If D is at most 2, these are the origin and the axes.
    """
    points = points.detach().float().cpu()
    if points.shape[1] <= 2:
        return torch.zeros(points.shape[1]), torch.eye(2, points.shape[1])
    mean = points.mean(0)
    V = torch.linalg.svd(points - mean, full_matrices=False).Vh[:2]  # (2, D)
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
