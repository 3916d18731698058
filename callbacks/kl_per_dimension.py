"""The rate of every dimension over the course of training."""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.distributions import factorised_kl
from ae_lightning.model import Model

from .drawing.images import grid_figure
from .drawing.theme import COLOURS, Figure, Room, drawable, house_style, new_figure
from .picture import PictureCallback, picture
from .report.history import History

MOST_DIMENSIONS, MOST_TIMES, MOST_CHANNELS = 32, 8, 8
EARLY_TO_LATE = "viridis_r"
LEAST_NATS = 0.01  # a dimension with less says nothing


def kl_bars(rates: Tensor, steps: Tensor) -> Figure:
    """Draw the rates (T, K) of all dimensions in nats at steps (T,), as bars from early to late.

    The dimension whose rate is largest at the last step comes first.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    T, K = rates.shape
    rates = drawable(rates, "the rates")
    times = torch.linspace(0, T - 1, min(T, MOST_TIMES)).round().long().unique()
    order = rates[-1].argsort(descending=True, stable=True)[:MOST_DIMENSIONS]
    saying = int((rates[-1] > LEAST_NATS).sum())
    with house_style():
        figure = new_figure(max(5.0, min(7.5, 1.5 + 0.35 * len(order))), 3.4, room=Room())
        axes = figure.subplots()
        first, last = int(steps[times[0]]), int(steps[times[-1]])
        scale = ScalarMappable(Normalize(first, max(last, first + 1)), EARLY_TO_LATE)
        width = 0.86 / len(times)
        for i, t in enumerate(times):
            left = np.arange(len(order)) - 0.43 + width * (i + 0.5)
            colour = scale.to_rgba(int(steps[t])) if len(times) > 1 else COLOURS[0]
            axes.bar(left, rates[t, order].numpy(), width, color=colour)
        axes.set_xticks(range(len(order)), [f"z{k}" for k in order])
        axes.tick_params(axis="x", length=0, rotation=90 if len(order) > 16 else 0)
        axes.set(ylabel="KL (nats)", xlabel="dimension of the code")
        axes.set_xlim(-0.6, len(order) - 0.4)
        total = float(rates[-1].sum())
        axes.set_title(f"Rate by dimension: {total:.1f} nats; {saying} of {K} above {LEAST_NATS}")
        if len(times) > 1:
            figure.colorbar(scale, ax=axes, label="optimizer step", aspect=30)
    return figure


def kl_maps(rates: Tensor) -> Figure:
    """Draw the rates (C, H, W) of a code that keeps its place, a map for each channel."""
    rates = drawable(rates, "the rates")
    of_channel = rates.sum((1, 2))
    order = of_channel.argsort(descending=True, stable=True)[:MOST_CHANNELS]
    names = [f"{c}: {of_channel[c]:.1f}" for c in order.tolist()]
    most = max(float(rates.max()), LEAST_NATS)
    with house_style():
        return grid_figure(
            rates[order][None, :, None],
            f"Rate in place: {float(rates.sum()):.1f} nats, white is {most:.2g}",
            columns=names,
            limits=(0.0, most),
            names=("channel of the code, and its rate in nats", ""),
        )


@picture
def kl_per_dimension(model: Model, x: Tensor, history: History | None = None) -> Figure:
    """Draw `kl_bars` of the history of val/rate_k or, if there is none, of the rates at x (B, *S).

    Of a code that keeps its place, draw `kl_maps` of the latest rates.

    Raises:
        UsageError: if the rate is not a sum over dimensions.
    """
    names = [f"val/rate_{k}" for k in range(model.latent)]
    if history and all(name in history for name in names):
        steps = torch.tensor([step for step, _ in history[names[0]]])
        values = [[value for _, value in history[name]] for name in names]
        return kl_of(model, torch.tensor(values).T, steps)
    if (reason := without_parts(model)) is not None:
        raise UsageError(reason)
    rates = factorised_kl(model.encode(x), model.prior())
    assert rates is not None
    return kl_of(model, rates.mean(0, keepdim=True), torch.zeros(1))


def kl_of(model: Model, rates: Tensor, steps: Tensor) -> Figure:
    """Draw the rates (T, K) at steps (T,) as bars or, of a code that keeps its place, as maps."""
    in_place = len(model.code_shape) == 3
    return kl_maps(rates[-1].view(model.code_shape)) if in_place else kl_bars(rates, steps)


def without_parts(model: Model) -> str | None:
    """Why this model's rate is not a sum over dimensions, or None if it is."""
    if not model.posterior.stochastic:
        return "kl_per_dimension needs a stochastic posterior: a point mass has no rate."
    q = model.posterior(torch.zeros(1, model.posterior.features(model.latent)).to(model.device))
    if factorised_kl(q, model.prior()) is None:
        name = type(model.prior).__name__
        return f"kl_per_dimension needs a prior that is a product over dimensions: {name} is not."
    return None


class KLPerDimension(PictureCallback):
    """Draw `kl_per_dimension` over all validations of the run."""

    name: ClassVar[str] = "kl_per_dimension"
    caption: ClassVar[str] = (
        "How many nats each dimension of the code says about its input at most, from the first "
        "validation to the last. A dimension at 0 is not used; if all are at 0, the posterior has "
        "collapsed. A code that keeps its place is a map for each channel, at the last validation."
    )
    examples: ClassVar[int] = 500

    def suits(self, model: Model, data: Any) -> str | None:
        return without_parts(model)

    def draw(self, model: Model, pair: Pair) -> Figure:
        return kl_per_dimension(model, pair.x, self.history)
