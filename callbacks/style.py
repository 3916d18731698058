"""The house look of every picture: one style, colour-blind safe, light in bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which every common colour blindness can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": f"cycler('color', {list(COLOURS)})",
    "legend.frameon": False,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
    "savefig.dpi": 130,
}


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure (inches) in the house style, known to no window or global state."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        return Figure(figsize=(width, height), layout="constrained")


def montage(images: Tensor, gap: int = 1) -> NDArray[np.float32]:
    """Lay images (N, C, H, W) with values in [0, 1] side by side: (H, N·(W + gap) − gap, C)."""
    x = images.detach().float().cpu().clamp(0, 1).permute(0, 2, 3, 1).numpy()
    strip = np.ones((x.shape[1], len(x) * (x.shape[2] + gap) - gap, x.shape[3]), np.float32)
    for i, image in enumerate(x):
        left = i * (x.shape[2] + gap)
        strip[:, left : left + x.shape[2]] = image
    return strip


def show_strip(axes: Axes, images: Tensor, label: str) -> None:
    """Draw images (N, C, H, W) as one labelled row; grey where C = 1."""
    strip = montage(images)
    axes.imshow(strip.squeeze(-1) if strip.shape[-1] == 1 else strip, vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_ylabel(label, rotation=0, ha="right", va="center")


def plane(points: Tensor) -> tuple[Any, Any]:
    """The mean (D,) and two leading principal directions (2, D) of points (N, D)."""
    mean = points.mean(0)
    if points.shape[1] <= 2:
        return mean * 0, np.eye(2, points.shape[1])
    import torch

    _, _, V = torch.linalg.svd(points - mean, full_matrices=False)
    return mean.numpy(), V[:2].numpy()


def project(points: Tensor, onto: tuple[Any, Any]) -> NDArray[Any]:
    """Coordinates (N, 2) of points (N, D) in a plane."""
    mean, directions = onto
    return np.asarray((points.detach().cpu().numpy() - np.asarray(mean)) @ directions.T)


def label_axes(axes: Axes, names: Sequence[str]) -> None:
    """Name the two axes, and give them one scale."""
    axes.set(xlabel=names[0], ylabel=names[1], aspect="equal")
