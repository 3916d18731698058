"""The house look of every picture: one style, safe for the colour-blind."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.showing import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure as Figure
    from matplotlib.image import AxesImage as AxesImage
else:  # for annotations: matplotlib is not imported until something is drawn
    Axes, Axis, Figure, AxesImage = "Axes", "Axis", "Figure", "AxesImage"

# Okabe and Ito's palette, which every common colour blindness can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"  # from least to most; around zero
# Paul Tol's muted palette and a dark grey: ten that stay apart, for labels.
LABEL_COLOURS = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499", "#555555"),
)
INK, FAINT = "#222222", "#888888"
DOTS_PER_INCH = 130
HOUSE_STYLE: dict[str, Any] = {
    "figure.dpi": DOTS_PER_INCH,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # looking for what a title may hit costs as much as a panel
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
    "text.hinting": "no_hinting",  # hinting takes half of the time to draw a picture
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "image.cmap": "gray",
}
WIDTH = 5.6  # inches of most figures: at this width the letters are legible on a telephone


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the house style inside, whatever the user's own settings, which are left alone."""
    from matplotlib import style

    with style.context(HOUSE_STYLE, after_reset=True):
        yield


class Room(NamedTuple):
    """What a figure keeps free beside its axes, in inches, for titles, labels and a legend."""

    left: float = 0.68
    right: float = 0.15
    top: float = 0.34
    bottom: float = 0.52


def new_figure(width: float, height: float, title: str = "", room: Room | None = None) -> Figure:
    """Return an empty figure (inches) in the house style, which needs no pyplot to be shown.

    If `room` is None, matplotlib finds out what to keep free, which takes as long as drawing.
    """
    from .shown import ShownFigure

    with house_style():
        figure = ShownFigure(
            figsize=(width, height), layout="constrained" if room is None else None
        )
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


def drawable(values: Tensor, what: str) -> Tensor:
    """Return a tensor for drawing: float, on the CPU, detached.

    Raises:
        UsageError: if a value is not finite: matplotlib would draw a gap.
    """
    values = values.detach().float().cpu()
    if not values.isfinite().all():
        raise UsageError(f"{what} holds values that are not finite.")
    return values


def legend(axes: Axes, **options: Any) -> None:
    """Add a legend in the house style, by default at the place where it hides the least."""
    with house_style():
        # If none is named, matplotlib warns where a busy machine takes a second to find one.
        axes.legend(**{"loc": "best", **options})


def show_quartiles(axes: Axes, at: Tensor, values: Tensor, label: str, colour: str) -> None:
    """Draw the median of values (B, n) at (n,) as a line, and their quartiles as a band."""
    low, median, high = values.quantile(values.new_tensor([0.25, 0.5, 0.75]), dim=0).numpy()
    marker = "o" if len(at) <= 20 else ""
    axes.plot(at.numpy(), median, color=colour, marker=marker, markersize=3, label=label)
    axes.fill_between(at.numpy(), low, high, color=colour, alpha=0.25, linewidth=0)


def log_scale(axis: Axis, low: float, high: float) -> None:
    """Number a logarithmic axis plainly, and make it at least a decade long."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    wide = max(1.1, (10 * low / high) ** 0.5)
    axis.set_view_interval(low / wide, high * wide, ignore=True)
    axis.set_major_locator(LogLocator(subs=(1,) if high / low > 30 else (1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_locator(NullLocator())
