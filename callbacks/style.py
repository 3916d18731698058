"""The house look of every picture: one style, colour-blind safe, light in bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
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
# Paul Tol's muted palette and a dark grey: ten that stay apart, for labels.
LABELS = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499", "#555555"),
)
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
}
WIDTH = 5.6  # inches of most figures: at this width the letters stay legible on a telephone
LETTER = 8  # pixels that a small letter takes, about


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
    axes.set_yticks((np.arange(R) + 0.5) * (H + 1) - 1 if rows else [], rows)
    axes.set_xticks((np.arange(N) + 0.5) * (W + 1) - 1 if columns else [], columns)
    axes.set(xlabel=names[0], ylabel=names[1])
    axes.tick_params(length=0, pad=4)
    return figure


def whole_scale(width: int, wanted: int = 640) -> float:
    """By how much to enlarge so many pixels to nearly the wanted width: a whole number, if ≥ 1."""
    if width > 1.5 * wanted:
        return wanted * 1.5 / width
    return max(1 if width > 0.78 * wanted else 2, round(wanted / width))


def pixel_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in pixels, laid out by hand."""
    figure = new_figure(1, 1)
    figure.set_layout_engine("none")
    # A hair more, since Agg rounds down.
    figure.set_size_inches((int(width) + 0.01) / figure.dpi, (int(height) + 0.01) / figure.dpi)
    return figure


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
    how = {"interpolation": "nearest"} if sharp else {}
    axes.imshow(shown, cmap="gray", vmin=0, vmax=1, **how)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def show_strip(axes: Axes, images: Tensor, label: str) -> None:
    """Draw images (N, C, H, W) as one labelled row; grey where C = 1."""
    show_image(axes, montage(images, what=label))
    axes.set_ylabel(label, rotation=0, ha="right", va="center")


def save_png(figure: Figure, path: Path, most: int = 150_000) -> None:
    """Write a figure as a PNG of 256 colours or, where that takes more bytes than `most`, of fewer.

    A picture that has no more colours than that is written exactly; most differ by 2 of 255 levels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    grey = bool((pixels == pixels[..., :1]).all())
    image = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if grey else pixels))
    # Fewer hues than 128 would be mixed; of greys, 32 are enough for the eye.
    for colours in (256, 64, 32) if grey else (256, 128):
        few = image.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        file = BytesIO()
        few.save(file, "png")
        if file.tell() <= most:
            break
    path.write_bytes(file.getvalue())


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
