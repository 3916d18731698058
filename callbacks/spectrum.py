"""The singular values of the encoder's Jacobian: how many directions its code is sensitive to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.geometry import spectrum

from .drawing.theme import COLOURS, WIDTH, Room, finite, new_figure
from .picture import PictureCallback, picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

CHUNK = 32  # rows of one example's Jacobian in memory at once
QUARTILES = (0.25, 0.5, 0.75)
FLOOR = 1e-6  # of the largest: float32 gives no smaller singular value with any certainty


def log_scale(axis: Axis, low: float, high: float) -> None:
    """Number a logarithmic axis plainly, and make it a decade long at least."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    wide = max(1.1, (10 * low / high) ** 0.5)
    axis.set_view_interval(low / wide, high * wide, ignore=True)
    axis.set_major_locator(LogLocator(subs=(1,) if high / low > 30 else (1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def show_quartiles(axes: Axes, at: Tensor, values: Tensor, label: str, colour: str) -> None:
    """Draw the median of values (B, n) at (n,) as a line, and their quartiles as a band."""
    low, median, high = values.quantile(values.new_tensor(QUARTILES), dim=0).numpy()
    marker = "o" if len(at) <= 20 else ""
    axes.plot(at.numpy(), median, color=colour, marker=marker, markersize=3, label=label)
    axes.fill_between(at.numpy(), low, high, color=colour, alpha=0.25, linewidth=0)


@picture
def jacobian_spectrum(model: Any, x: Tensor) -> Figure:
    r"""Draw the singular values of ∂f/∂x in falling order: the median over examples, and quartiles.

    A steep fall says that the code follows a few directions of the data and resists the others,
    as a contractive autoencoder's does; a plain autoencoder's is flat.

    Args:
        model: an AutoEncoder.
        x: the examples (B, *S), on the model's device.

    Raises:
        UsageError: where the Jacobian is 0.

    References:
        | Contractive Auto-Encoders (Rifai et al., 2011), figure 3
    """
    values = torch.cat([spectrum(model.code, one, CHUNK) for one in x.split(1)])
    values = finite(values, "the spectrum")
    least = FLOOR * float(values.max())
    values = values[:, values.median(0).values > least]
    if not values.numel():
        raise UsageError("the encoder's Jacobian is 0: its code does not answer to the data.")
    # Where a sparse code has fewer active units, it has zeros, which no logarithm shows.
    values = values.clamp(min=float(values.median(0).values.min()) / 3)
    figure = new_figure(WIDTH, 3.4, room=Room())
    axes = figure.subplots()
    place = torch.arange(1, values.shape[1] + 1)
    show_quartiles(axes, place, values, "", COLOURS[0])
    axes.set_yscale("log")
    log_scale(axes.yaxis, float(values.min()), float(values.max()))
    axes.set(
        xlabel="place k in falling order",
        ylabel="singular value σₖ (code per input unit)",
        title="Spectrum of the encoder's Jacobian: median and quartiles",
    )
    if values.shape[1] <= 20:
        axes.set_xticks(place.tolist())
    axes.grid(alpha=0.25)
    return figure


class JacobianSpectrum(PictureCallback):
    """Draw `jacobian_spectrum` at fixed validation examples."""

    name: ClassVar[str] = "jacobian_spectrum"
    slow: ClassVar[bool] = True
    caption: ClassVar[str] = (
        "How strongly the code answers to each direction of the data, strongest first. A steep "
        "fall says that it follows a few directions and resists the rest, as a contractive "
        "autoencoder's does; a plain autoencoder's is flat."
    )

    def draw(self, model: Any, pair: Pair) -> Figure:
        return jacobian_spectrum(model, pair.x)
