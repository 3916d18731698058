"""The house look of every picture: one style, colour-blind safe, light in bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ae_lightning.core.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which every common colour blindness can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"  # from least to most; around zero
# Paul Tol's muted palette and a dark grey: ten that stay apart, for labels.
LABELS = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499", "#555555"),
)
INK, FAINT = "#222222", "#888888"
STYLE: dict[str, Any] = {
    "figure.dpi": 130,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # to look for what may be in a title's way costs as much as a panel
    "axes.formatter.useoffset": False,
    "axes.formatter.limits": (-5, 6),
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
    "text.hinting": "no_hinting",  # which takes half as long as most of drawing a picture
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "image.cmap": "gray",
}
WIDTH = 5.6  # inches of most figures: at this width the letters stay legible on a telephone
LETTER = 8  # pixels that a small letter takes, about


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the house style inside, whatever the user's own settings, which are left alone."""
    from matplotlib import style

    with style.context(STYLE, after_reset=True):
        yield


class Room(NamedTuple):
    """What a figure keeps free beside its axes, in inches, for titles, labels and a legend."""

    left: float = 0.68
    right: float = 0.15
    top: float = 0.34
    bottom: float = 0.52


def new_figure(width: float, height: float, title: str = "", room: Room | None = None) -> Figure:
    """Return an empty figure (inches) in the house style, known to no window or global state.

    Args:
        room: what to keep free beside the axes; found by matplotlib, if None, which takes as long
            as drawing.
    """
    from matplotlib.figure import Figure

    with house_style():
        figure = Figure(figsize=(width, height), layout="constrained" if room is None else None)
        if title:
            figure.suptitle(title, x=0.01, ha="left")
        if room is not None:
            figure.subplots_adjust(
                left=room.left / width,
                right=1 - room.right / width,
                top=1 - room.top / height,
                bottom=room.bottom / height,
            )
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


def tile(
    images: Tensor, limits: tuple[float, float] = (0.0, 1.0), gap: int = 1
) -> NDArray[np.float32]:
    """Lay images (R, N, C, H, W) out in R rows: (R·(H + gap) − gap, N·(W + gap) − gap, C).

    Values are scaled from their limits to [0, 1], and the gaps are 1. What is not 1 or 3 channels
    is shown by its first.

    >>> tile(torch.zeros(1, 2, 1, 1, 1)).squeeze()
    array([0., 1., 0.], dtype=float32)
    """
    x = (finite(images, "a grid of images") - limits[0]) / (limits[1] - limits[0])
    x = x if x.shape[2] == 3 else x[:, :, :1]
    x = torch.nn.functional.pad(x.clamp(0, 1), (0, gap, 0, gap), value=1.0)
    R, N, C, H, W = x.shape
    x = x.permute(0, 3, 1, 4, 2).reshape(R * H, N * W, C)
    return x[: R * H - gap, : N * W - gap].numpy()  # type: ignore[no-any-return]


def grid_figure(
    images: Tensor,
    title: str,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    limits: tuple[float, float] = (0.0, 1.0),
    names: tuple[str, str] = ("", ""),
) -> Figure:
    """Return a figure of images (R, N, C, H, W) in a grid, its rows and columns labelled.

    Every pixel of an image takes a whole number of the picture's, so that it is sharp, and light
    in bytes.

    Args:
        limits: the values that are black and white.
        names: of the columns and of the rows.
    """
    shown = tile(images, limits)
    R, N, _, H, W = images.shape
    scale = whole_scale(shown.shape[1])
    width, height = round(shown.shape[1] * scale), round(shown.shape[0] * scale)
    left = 6 + LETTER * max(map(len, rows), default=0) + (30 if names[1] else 0)
    below = 6 + (20 if columns else 0) + (22 if names[0] else 0)
    needed = left + LETTER * 1.3 * max(map(len, title.split("\n")))
    figure = pixel_figure(max(left + width + 6, needed), 30 + height + below)
    axes = place(figure, left, 30, width, height)
    show_image(axes, shown, sharp=scale >= 1)
    axes.set_title(title)
    write_rows(axes, (np.arange(R) + 0.5) * (H + 1) - 1, rows)
    write_columns(axes, (np.arange(N) + 0.5) * (W + 1) - 1, columns)
    middle, low = shown.shape[1] / 2 - 0.5, shown.shape[0] - 0.5
    _write(axes, (middle, low), (0, -26 if columns else -6), names[0], va="top", fontsize=9)
    outwards = -6 - LETTER * max(map(len, rows), default=0)
    _write(axes, (-0.5, low / 2), (outwards, 0), names[1], ha="right", rotation=90, fontsize=9)
    return figure


def write_rows(axes: Axes, at: Iterable[float], names: Sequence[str]) -> None:
    """Name the rows of a drawn grid, left of it: by texts, since ticks take ten times as long."""
    for y, name in zip(at, names, strict=False):
        _write(axes, (-0.5, y), (-6, 0), name, ha="right")


def write_columns(
    axes: Axes, at: Iterable[float], names: Sequence[str], above: bool = False
) -> None:
    """Name the columns of a drawn grid, below or above it."""
    edge = -0.5 if above else max(axes.get_ylim())
    for x, name in zip(at, names, strict=False):
        _write(axes, (x, edge), (0, 6 if above else -6), name, va="bottom" if above else "top")


def _write(
    axes: Axes, at: tuple[float, float], beside: tuple[float, float], text: str, **how: Any
) -> None:
    """Write beside a place of a grid, so many pixels to the right and up."""
    from matplotlib.transforms import ScaledTranslation

    if not text:
        return
    figure = axes.get_figure()
    inches = (side / figure.dpi for side in beside)
    place = axes.transData + ScaledTranslation(*inches, figure.dpi_scale_trans)
    how = {"ha": "center", "va": "center", "fontsize": 8, "color": INK} | how
    axes.text(*at, text, transform=place, **how)


def whole_scale(width: int, wanted: int = 640) -> float:
    """By how much to enlarge so many pixels to nearly the wanted width: a whole number, if ≥ 1."""
    if width > 1.5 * wanted:
        return wanted * 1.5 / width
    return max(1 if width > 0.78 * wanted else 2, round(wanted / width))


def pixel_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in pixels, laid out by hand."""
    dpi = STYLE["figure.dpi"]
    # A hair more, since Agg rounds down.
    return new_figure((int(width) + 0.01) / dpi, (int(height) + 0.01) / dpi, room=Room(0, 0, 0, 0))


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at these pixels, counted from the figure's upper left corner."""
    w, h = (side * figure.dpi for side in figure.get_size_inches())
    return figure.add_axes((int(left) / w, 1 - int(top + height) / h, width / w, height / h))


def limits_of(model: Any, images: Tensor) -> tuple[float, float]:
    """The values that are drawn black and white: the data's range, or else that of the images."""
    if model.value_range is not None:
        return model.value_range[0], model.value_range[1]
    return fixed_scale(finite(images, "an image").numpy())


def show_image(axes: Axes, image: NDArray[np.float32], sharp: bool = False) -> None:
    """Draw one image (H, W, C) with values in [0, 1], without axes; grey where C = 1.

    Args:
        sharp: whether its pixels take whole numbers of the picture's, and need no smoothing.
    """
    shown = image.squeeze(-1) if image.shape[-1] == 1 else image
    interpolation = "nearest" if sharp else None  # None smooths, as matplotlib sees fit
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation=interpolation)
    axes.set_axis_off()


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
    """Name the two axes, and give them one scale; axes that share none keep their size."""
    alone = len(axes.get_shared_x_axes().get_siblings(axes)) == 1
    axes.set(xlabel=names[0], ylabel=names[1])
    axes.set_aspect("equal", adjustable="datalim" if alone else "box")
    if alone:
        axes.locator_params(nbins=6)


def is_image(shape: Sequence[int]) -> bool:
    """Whether data of this shape is drawn as images: (C, H, W)."""
    return len(shape) == 3


def fixed_scale(values: Any, symmetric: bool = False) -> tuple[float, float]:
    """The limits of a colour scale that several panels share; around zero, if symmetric."""
    low, high = float(np.min(values)), float(np.max(values))
    most = max(abs(low), abs(high)) or 1.0
    return (-most, most) if symmetric else (low, high if high > low else low + 1)
