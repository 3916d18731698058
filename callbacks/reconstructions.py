"""Reconstructions: clean, corrupted, reconstructed, and the error that is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from ae_lightning.types import Pair

from .base import PictureCallback, picture
from .style import COLOURS, label_axes, new_figure, plane, project, show_strip

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@picture
def reconstructions(model: Any, pair: Pair) -> Figure:
    """Draw x, x̃, r(x̃) and, for a stochastic posterior, the means of p(x|z) at prior samples.

    Images are drawn in rows; points, as scatters in the plane of their two leading directions.

    Args:
        model: an AutoEncoder.
        pair: the examples, x and x̃ (B, *S) on the model's device.
    """
    rows = {"clean": pair.x}
    if not pair.x_tilde.equal(pair.x):
        rows["corrupted"] = pair.x_tilde
    rows["reconstructed"] = model.reconstruct(pair.x_tilde)
    if model.posterior.stochastic:
        rows["prior samples"] = model.sample(len(pair.x))
    return _strips(rows) if pair.x.dim() == 4 else _scatters(rows)


def _strips(rows: dict[str, Tensor]) -> Figure:
    count, _, height, width = next(iter(rows.values())).shape
    wide = 7.0
    figure = new_figure(wide + 0.9, (wide / count * height / width + 0.04) * len(rows) + 0.15)
    for axes, (label, images) in zip(figure.subplots(len(rows)), rows.items(), strict=True):
        show_strip(axes, images, label)
    return figure


def _scatters(rows: dict[str, Tensor]) -> Figure:
    figure = new_figure(2.6 * len(rows), 2.8)
    onto = plane(rows["clean"].flatten(1).cpu())
    grid = figure.subplots(1, len(rows), sharex=True, sharey=True)
    for axes, (label, points), colour in zip(grid, rows.items(), COLOURS, strict=False):
        axes.scatter(*project(points.flatten(1), onto).T, s=4, color=colour, linewidths=0)
        axes.set_title(label)
        label_axes(axes, ("x₁", "x₂") if points[0].numel() == 2 else ("first", "second direction"))
    return figure


class Reconstructions(PictureCallback):
    """Draw `reconstructions` of fixed validation pairs."""

    name = "reconstructions"

    def draw(self, model: Any, pair: Pair) -> Figure:
        return reconstructions(model, pair)
