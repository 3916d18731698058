"""The house look of every picture: one style, colour-blind safe, light in bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ae_lightning.parts import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which every common colour blindness can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"  # from least to most; around zero
INK, FAINT = "#222222", "#888888"
STYLE = {
    "figure.dpi": 130,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": f"cycler('color', {list(COLOURS)})",
    "figure.titlesize": 11,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "image.cmap": "gray",
    "image.interpolation": "nearest",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the house style inside, whatever the user's own settings, which are left alone."""
    from matplotlib import style

    with style.context(STYLE, after_reset=True):
        yield


def new_figure(width: float, height: float, title: str = "") -> Figure:
    """Return an empty figure (inches) in the house style, known to no window or global state."""
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(width, height), layout="constrained")
        if title:
            figure.suptitle(title, x=0.01, ha="left")
        return figure


def finite(values: Tensor, what: str) -> Tensor:
    """Return a tensor for drawing: float, on the CPU, detached.

    Raises:
        UsageError: where a value is not finite, since matplotlib would draw a gap.
    """
    values = values.detach().float().cpu()
    if not values.isfinite().all():
        raise UsageError(f"{what} holds values that are not finite.")
    return values


def montage(images: Tensor, gap: int = 1, what: str = "a row of images") -> NDArray[np.float32]:
    """Lay images (N, C, H, W) with values in [0, 1] side by side: (H, N·(W + gap) − gap, C).

    What is not 1 or 3 channels is shown by its first.
    """
    x = finite(images, what).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    x = x if x.shape[3] == 3 else x[..., :1]
    strip = np.ones((x.shape[1], len(x) * (x.shape[2] + gap) - gap, x.shape[3]), np.float32)
    for i, image in enumerate(x):
        left = i * (x.shape[2] + gap)
        strip[:, left : left + x.shape[2]] = image
    return strip


def show_image(axes: Axes, image: NDArray[np.float32]) -> None:
    """Draw one image (H, W, C) with values in [0, 1], without axes; grey where C = 1."""
    axes.imshow(image.squeeze(-1) if image.shape[-1] == 1 else image, vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def show_strip(axes: Axes, images: Tensor, label: str) -> None:
    """Draw images (N, C, H, W) as one labelled row; grey where C = 1."""
    show_image(axes, montage(images, what=label))
    axes.set_ylabel(label, rotation=0, ha="right", va="center")


def image_of(path: Path) -> NDArray[np.uint8]:
    """Read a picture's pixels (H, W, 3)."""
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"))


def plane(points: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (D,) and the two leading principal directions (2, D) of points (N, D).

    Of points in the plane, the origin and the axes.
    """
    points = points.detach().float().cpu()
    if points.shape[1] <= 2:
        return torch.zeros(points.shape[1]), torch.eye(2, points.shape[1])
    mean = points.mean(0)
    V = torch.linalg.svd(points - mean, full_matrices=False).Vh[:2]  # (2, D)
    # The sign of a singular vector is arbitrary: its largest element is made positive.
    largest = V.gather(1, V.abs().argmax(1, keepdim=True))
    return mean, V * largest.sign()


def project(points: Tensor, onto: tuple[Tensor, Tensor]) -> NDArray[np.float32]:
    """Coordinates (N, 2) of points (N, D) in a plane."""
    mean, directions = onto
    return ((finite(points, "the scatter") - mean) @ directions.T).numpy()


def label_axes(axes: Axes, names: Sequence[str]) -> None:
    """Name the two axes, and give them one scale."""
    axes.set(xlabel=names[0], ylabel=names[1], aspect="equal")


def is_image(shape: Sequence[int]) -> bool:
    """Whether data of this shape is drawn as images: (C, H, W)."""
    return len(shape) == 3


def fixed_scale(values: Any, symmetric: bool = False) -> tuple[float, float]:
    """The limits of a colour scale that several panels share; around zero, if symmetric."""
    low, high = float(np.min(values)), float(np.max(values))
    most = max(abs(low), abs(high)) or 1.0
    return (-most, most) if symmetric else (low, high if high > low else low + 1)
