"""Latent traversals: what each dimension of the code does on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair

from .drawing.latent import importance, location_and_scale
from .drawing.points import name_axes, show_points
from .drawing.theme import (
    COLOURS,
    FAINT,
    Room,
    grid_figure,
    is_image,
    limits_of,
    new_figure,
    plane,
    project,
)
from .picture import PictureCallback, picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SPAN = 3.0  # standard deviations, to both sides
POINTS = 301  # of a curve of vectors
FRAMES = 13  # of a film, from one end to the other


def traversal(
    model: Any, x: Tensor, dims: Sequence[int], start: Tensor | None, steps: int
) -> Tensor:
    """The codes (N, steps, K) that move one of N dimensions each over ±3 standard deviations.

    These are the prior's; of a point mass, those of the codes of x, within the codes' range.

    Args:
        x: the examples (B, *S).
        dims: the dimensions.
        start: the code (K,) that the other dimensions keep; the mean, if None.
        steps: how many codes a dimension gets.
    """
    mean, sd = location_and_scale(model, x)
    t = torch.linspace(-SPAN, SPAN, steps).to(mean)
    z = (mean if start is None else start).expand(len(dims), steps, -1).clone()
    codes = None if model.posterior.stochastic else model.code(x)
    for row, k in enumerate(dims):
        z[row, :, k] = mean[k] + t * sd[k]
        if codes is not None:
            z[row, :, k].clamp_(codes[:, k].min(), codes[:, k].max())
    return z


def leading(model: Any, x: Tensor, dims: Sequence[int] | None, rows: int) -> list[int]:
    """The dimensions to draw, the most important first: those named, or the first `rows` of all.

    Raises:
        UsageError: where one does not exist.
    """
    score, _ = importance(model, x)
    for k in dims or ():
        if not 0 <= k < len(score):
            raise UsageError(f"there is no dimension {k}: the code has 0 to {len(score) - 1}.")
    order: list[int] = score.argsort(descending=True, stable=True).tolist()
    return order[:rows] if dims is None else [k for k in order if k in dims]


@picture
def latent_traversal(
    model: Any,
    x: Tensor,
    start: Tensor | None = None,
    dims: Sequence[int] | None = None,
    rows: int = 10,
    columns: int = 11,
) -> Figure:
    """Draw the decoded codes of a dimension at a time, the most important first.

    A row runs over ±3 standard deviations of the prior, and is named by the dimension and by its
    KL; of a deterministic code it runs over those of the code, and is named by its variance.
    Vectors are drawn as the curves that p(x|z)'s mean runs along.

    Args:
        model: an AutoEncoder.
        x: the examples (B, *S) that KL and variance are means over, on the model's device.
        start: the code (K,) that the other dimensions keep; the mean, if None.
        dims: the dimensions to draw; the `rows` most important, if None.
        rows, columns: how many dimensions and values to draw.

    Raises:
        UsageError: where a dimension does not exist.
    """
    score, what = importance(model, x)
    vectors = not is_image(model.shape)
    shown = leading(model, x, dims, min(rows, len(COLOURS)) if vectors else rows)
    z = traversal(model, x, shown, start, POINTS if vectors else columns)
    decoded = model.decode(z).mean  # (N, steps, *S)
    # A variance may be of any size, and so may the KL of what is not trained.
    digits = [".2g" if what == "variance" or score[k] >= 1000 else ".2f" for k in shown]
    names = [f"z{k}  {float(score[k]):{d}}" for k, d in zip(shown, digits, strict=True)]
    number = f"{len(shown)} of {model.latent} dimensions"
    if vectors:
        return _curves(x, decoded, names, f"Traversal of {number}, and their {what}")
    t = torch.linspace(-SPAN, SPAN, columns).round(decimals=1).tolist()
    marks = [f"{value:+.1f}".replace("-", "−") if value else "0" for value in t]
    title = f"Latent traversal: {number}, by {what}"
    whose = "prior" if model.posterior.stochastic else "code"
    across = f"standard deviations of the {whose}"
    return grid_figure(decoded, title, names, marks, limits_of(model, x), (across, ""))


def _curves(x: Tensor, decoded: Tensor, names: list[str], title: str) -> Figure:
    figure = new_figure(5.9, 4.2, room=Room(left=0.8, right=1.4))
    axes = figure.subplots()
    onto = plane(x.flatten(1))
    show_points(axes, x, onto, color=FAINT, alpha=0.4)
    for curve, name, colour in zip(decoded, names, COLOURS, strict=False):
        line = project(curve.flatten(1), onto)
        axes.plot(*line.T, color=colour, label=name)
        axes.plot(*line[-1], "o", color=colour, markersize=4)  # the end at +3
    name_axes(axes, x[0].numel())
    axes.set_title(title)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


class LatentTraversal(PictureCallback):
    """Draw `latent_traversal`, of a validation image or of the prior's mean.

    Args:
        every_n_epochs: how often to draw, in epochs.
        items: how many validation examples KL and variance are means over.
        start: which of these examples to start from; the prior's mean, if None.
        dims: the dimensions to draw; the `rows` most important, if None.
        rows: how many dimensions to draw.
        animated: whether to write a film of the traversal, a GIF, beside the picture.
        common: the other arguments of `PictureCallback`: seed, every_n_steps.

    Raises:
        UsageError: where a dimension or the starting example does not exist.
    """

    name: ClassVar[str] = "latent_traversal"
    caption: ClassVar[str] = (
        "Each row moves one dimension of the code and keeps the others, the most informative "
        "first. Right when a row changes smoothly, and does one thing; a row whose images are all "
        "the same is a dimension that the model does not use (its KL is 0), or one of so many that "
        "alone it changes little."
    )

    def __init__(
        self,
        every_n_epochs: int = 0,
        items: int = 500,
        start: int | None = 0,
        dims: Sequence[int] | None = None,
        rows: int = 10,
        animated: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(every_n_epochs, items, **common)
        if start is not None and not 0 <= start < items:
            raise UsageError(f"start is {start}: expected an example from 0 to {items - 1}.")
        self.start, self.dims, self.rows, self.animated = start, dims, rows, animated

    def suits(self, model: Any, data: Any) -> str | None:
        for k in self.dims or ():
            if not 0 <= k < model.latent:
                return f"there is no dimension {k}: the code has 0 to {model.latent - 1}."
        return None

    def _start(self, model: Any, pair: Pair) -> Tensor | None:
        return None if self.start is None else model.code(pair.x[self.start : self.start + 1])[0]

    def draw(self, model: Any, pair: Pair) -> Figure:
        return latent_traversal(model, pair.x, self._start(model, pair), self.dims, self.rows)

    def animate(self, model: Any, pair: Pair) -> Tensor | None:
        if not self.animated or not is_image(model.shape):
            return None
        shown = leading(model, pair.x, self.dims, self.rows)
        z = traversal(model, pair.x, shown, self._start(model, pair), FRAMES)
        return film(model.decode(z).mean, limits_of(model, pair.x))


def film(images: Tensor, limits: tuple[float, float]) -> Tensor:
    """Lay N films (N, T, C, H, W) out in rows of five, as frames (T, C, rows·H', columns·W').

    Images of up to 48 pixels are drawn twice as large.
    """
    x = ((images - limits[0]) / (limits[1] - limits[0])).clamp(0, 1)
    x = x if x.shape[2] == 3 else x[:, :, :1]
    N, T, C, H, W = x.shape
    columns = min(5, N)
    empty = x.new_ones(-N % columns, T, C, H, W)
    x = torch.nn.functional.pad(torch.cat([x, empty]), (0, 1, 0, 1), value=1.0)
    x = x.unflatten(0, (-1, columns)).permute(2, 3, 0, 4, 1, 5)  # (T, C, rows, H', columns, W')
    frames = x.reshape(T, C, -1, columns * (W + 1))
    zoom = 2 if max(H, W) <= 48 else 1
    return frames.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3)  # type: ignore[no-any-return]
