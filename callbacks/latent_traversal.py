"""Latent traversals: what each dimension of the code does on its own."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.distributions import factorised_kl
from ae_lightning.model import Model

from .drawing.images import grid_figure, is_image, limits_of, scaled
from .drawing.theme import COLOURS, FAINT, Figure, Room, new_figure
from .drawing.vectors import plane, project, show_points
from .picture import PictureCallback, picture

SPAN = 3.0  # standard deviations on either side
POINTS = 301  # of a curve of vectors
FRAMES = 13  # of a film, from one end to the other


def importance(model: Model, x: Tensor) -> tuple[Tensor, str]:
    """How much every dimension (K,) says about x, and in what: mean KL in nats, or variance."""
    q = model.encode(x)
    if model.posterior.stochastic and (kl := factorised_kl(q, model.prior())) is not None:
        return kl.mean(0), "KL in nats"
    return model.code(x).var(0, unbiased=False), "variance"


def traversal(
    model: Model, x: Tensor, dims: Sequence[int], start: Tensor | None, steps: int
) -> Tensor:
    """The codes (N, steps, K) that move each of N dimensions over ±3 standard deviations.

    These are the prior's; for a point mass, those of the codes of x (B, *S), within the codes'
    range. The other dimensions stay at `start` (K,), or at the mean if that is None.
    """
    if model.posterior.stochastic:
        p = model.prior()
        mean, sd = p.mean, p.stddev
    else:
        codes = model.code(x)
        mean, sd = codes.mean(0), codes.std(0, unbiased=False)
    t = torch.linspace(-SPAN, SPAN, steps).to(mean)
    z = (mean if start is None else start).expand(len(dims), steps, -1).clone()
    for row, k in enumerate(dims):
        z[row, :, k] = mean[k] + t * sd[k]
        if not model.posterior.stochastic:
            z[row, :, k].clamp_(codes[:, k].min(), codes[:, k].max())
    return z


def without_dimensions(model: Model, dims: Sequence[int] | None) -> str | None:
    """Say which of these dimensions the model's code does not have, or None."""
    for k in dims or ():
        if not 0 <= k < model.latent:
            return f"there is no dimension {k}: the code has 0 to {model.latent - 1}."
    return None


def dimensions_shown(model: Model, x: Tensor, dims: Sequence[int] | None, rows: int) -> list[int]:
    """The dimensions to draw, most important first: those named, or the first `rows` of all.

    Raises:
        UsageError: if one does not exist.
    """
    if (reason := without_dimensions(model, dims)) is not None:
        raise UsageError(reason)
    score, _ = importance(model, x)
    order: list[int] = score.argsort(descending=True, stable=True).tolist()
    return order[:rows] if dims is None else [k for k in order if k in dims]


def name_of(model: Model, k: int) -> str:
    """The name of a dimension of the code, with its channel, row and column if it keeps its place.

    >>> from ae_lightning.nn import ResidualEncoder
    >>> from ae_lightning.systems import VariationalAutoEncoder
    >>> name_of(VariationalAutoEncoder((1, 64, 64), 128, ResidualEncoder(spatial=True)), 74)
    'z74 (1, 1, 2)'
    """
    if len(model.code_shape) == 1:
        return f"z{k}"
    _, height, width = model.code_shape
    return f"z{k} ({k // (height * width)}, {k // width % height}, {k % width})"


@picture
def latent_traversal(
    model: Model,
    x: Tensor,
    start: Tensor | None = None,
    dims: Sequence[int] | None = None,
    rows: int = 10,
    columns: int = 11,
) -> Figure:
    """Draw what moving one dimension of the code at a time decodes to, most important first.

    A row runs over ±3 standard deviations of the prior, and is labelled with the dimension (and
    its channel, row and column, if the code keeps its place) and its KL; for a deterministic code
    it runs over those of the codes, and is labelled with the variance. Vectors are drawn
    as the curves along which the mean of p(x|z) moves.

    Args:
        x: the examples (B, *S) over which KL and variance are means.
        start: the code (K,) whose other dimensions stay; the mean if None.
        dims: the dimensions to draw; the `rows` most important if None.
        rows, columns: how many dimensions and values to draw.

    Raises:
        UsageError: if a dimension does not exist.
    """
    score, what = importance(model, x)
    vectors = not is_image(model.shape)
    shown = dimensions_shown(model, x, dims, min(rows, len(COLOURS)) if vectors else rows)
    z = traversal(model, x, shown, start, POINTS if vectors else columns)
    decoded = model.decode(z).mean  # (N, steps, *S)
    # A variance may be of any size, and so may the KL of an untrained model.
    digits = [".2g" if what == "variance" or score[k] >= 1000 else ".2f" for k in shown]
    names = [
        f"{name_of(model, k)}  {float(score[k]):{d}}" for k, d in zip(shown, digits, strict=True)
    ]
    number = f"{len(shown)} of {model.latent} dimensions"
    if vectors:
        return _curves(x, decoded, names, f"Traversal of {number}, and their {what}")
    t = torch.linspace(-SPAN, SPAN, columns).round(decimals=1).tolist()
    marks = [f"{value:+.1f}".replace("-", "−") if value else "0" for value in t]
    title = f"Latent traversal: {number}, by {what}"
    across = f"standard deviations of the {'prior' if model.posterior.stochastic else 'code'}"
    return grid_figure(decoded, title, names, marks, limits_of(model, x), (across, ""))


def _curves(x: Tensor, decoded: Tensor, names: list[str], title: str) -> Figure:
    figure = new_figure(5.9, 4.2, room=Room(left=0.8, right=1.4))
    axes = figure.subplots()
    onto = plane(x.flatten(1))
    show_points(axes, x, onto, color=FAINT, alpha=0.4)
    for curve, name, colour in zip(decoded, names, COLOURS, strict=False):
        line = project(curve, onto)
        axes.plot(*line.T, color=colour, label=name)
        axes.plot(*line[-1], "o", color=colour, markersize=4)  # the end at +3
    axes.set_title(title)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


class LatentTraversal(PictureCallback):
    """Draw `latent_traversal`, with its `dims` and `rows`.

    Args:
        start: which of the examples to start from; the prior's mean if None.
        animated: whether to write a film of the traversal, a GIF, beside the picture.

    Raises:
        UsageError: if a dimension or the starting example does not exist.
    """

    name: ClassVar[str] = "latent_traversal"
    caption: ClassVar[str] = (
        "Each row moves one dimension of the code and keeps the others, the most informative "
        "first. It is right if a row changes smoothly and does one thing. If all images of a row "
        "are the same, the model does not use that dimension (its KL is 0), or has so many that "
        "one alone changes little."
    )
    examples: ClassVar[int] = 500

    def __init__(
        self,
        every_n_epochs: int = 0,
        *,
        start: int | None = 0,
        dims: Sequence[int] | None = None,
        rows: int = 10,
        animated: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(every_n_epochs, **common)
        if start is not None and not 0 <= start < self.items:
            raise UsageError(f"start is {start}: expected an example from 0 to {self.items - 1}.")
        self.start, self.dims, self.rows, self.animated = start, dims, rows, animated

    def suits(self, model: Model, data: Any) -> str | None:
        return without_dimensions(model, self.dims)

    def _start(self, model: Model, pair: Pair) -> Tensor | None:
        return None if self.start is None else model.code(pair.x[self.start : self.start + 1])[0]

    def draw(self, model: Model, pair: Pair) -> Figure:
        return latent_traversal(model, pair.x, self._start(model, pair), self.dims, self.rows)

    def animate(self, model: Model, pair: Pair) -> Tensor | None:
        if not self.animated or not is_image(model.shape):
            return None
        shown = dimensions_shown(model, pair.x, self.dims, self.rows)
        z = traversal(model, pair.x, shown, self._start(model, pair), FRAMES)
        return film(model.decode(z).mean, limits_of(model, pair.x))


def film(images: Tensor, limits: tuple[float, float]) -> Tensor:
    """Lay N films (N, T, C, H, W) out in rows of five, as frames (T, C, rows·H', columns·W').

    Images of up to 48 pixels are drawn twice as large.
    """
    x = scaled(images, limits).clamp(0, 1)
    x = x if x.shape[2] == 3 else x[:, :, :1]
    N, T, C, H, W = x.shape
    columns = min(5, N)
    empty = x.new_ones(-N % columns, T, C, H, W)
    x = torch.nn.functional.pad(torch.cat([x, empty]), (0, 1, 0, 1), value=1.0)
    x = x.unflatten(0, (-1, columns)).permute(2, 3, 0, 4, 1, 5)  # (T, C, rows, H', columns, W')
    frames = x.reshape(T, C, -1, columns * (W + 1))
    zoom = 2 if max(H, W) <= 48 else 1
    return frames.repeat_interleave(zoom, 2).repeat_interleave(zoom, 3)  # type: ignore[no-any-return]
