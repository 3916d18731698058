"""The singular values of the encoder's Jacobian: how many directions its code is sensitive to."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.geometry import spectrum
from ae_lightning.model import Model
from ae_lightning.nn import Identity

from .drawing.tangents import CHUNK
from .drawing.theme import (
    COLOURS,
    WIDTH,
    Figure,
    Room,
    drawable,
    log_scale,
    new_figure,
    show_quartiles,
)
from .picture import PictureCallback, picture

LEAST_RATIO = 1e-6  # to the largest: smaller singular values are rounding errors of float32


@picture
def jacobian_spectrum(model: Model, x: Tensor) -> Figure:
    r"""Draw the singular values of ∂f/∂x at x (B, *S) in falling order: median and quartiles.

    It falls steeply if the code follows a few directions of the data and resists the others, as a
    contractive autoencoder's does; a plain autoencoder's is flat.

    Raises:
        UsageError: if the Jacobian is 0.

    References:
        | Contractive Auto-Encoders (Rifai et al., 2011), figure 3
    """
    values = torch.cat([spectrum(model.code, one, CHUNK) for one in x.split(1)])
    values = drawable(values, "the spectrum")
    least = LEAST_RATIO * float(values.max())
    values = values[:, values.median(0).values > least]
    if not values.numel():
        raise UsageError("the encoder's Jacobian is 0: its code does not answer to the data.")
    # A sparse code with fewer active units has zeros here, which no logarithm shows.
    values = values.clamp(min=float(values.median(0).values.min()) / 3)
    figure = new_figure(WIDTH, 3.4, room=Room(left=0.75))
    axes = figure.subplots()
    place = torch.arange(1, values.shape[1] + 1)
    show_quartiles(axes, place, values, "", COLOURS[0])
    axes.set_yscale("log")
    log_scale(axes.yaxis, float(values.min()), float(values.max()))
    axes.set(
        xlabel="index k, largest first",
        ylabel="singular value σₖ (code per input unit)",
        title="Spectrum of the encoder's Jacobian: median and quartiles",
    )
    if values.shape[1] <= 20:
        axes.set_xticks(place.tolist())
    axes.grid(alpha=0.25)
    return figure


def without_fall(model: Model) -> str | None:
    """Why this encoder's Jacobian has no spectrum to look at, or None if it has one."""
    if isinstance(model.encoder, Identity) and model.posterior.activation is None:
        return "a spectrum falls, and that of the identity, which this encoder is, is 1 throughout."
    if min(model.latent, math.prod(model.shape)) > 1:
        return None
    return "a spectrum falls, and one value cannot: the code or the data have one dimension alone."


class JacobianSpectrum(PictureCallback):
    """Draw `jacobian_spectrum` at fixed validation examples."""

    name: ClassVar[str] = "jacobian_spectrum"
    slow: ClassVar[bool] = True
    caption: ClassVar[str] = (
        "How strongly the code answers to each direction of the data, strongest first. A steep "
        "fall means that it follows a few directions and resists the rest, as a contractive "
        "autoencoder's code does; a plain autoencoder's curve is flat."
    )

    def suits(self, model: Model, data: Any) -> str | None:
        return without_fall(model)

    def draw(self, model: Model, pair: Pair) -> Figure:
        return jacobian_spectrum(model, pair.x)
