"""Latent traversals: what each dimension of the code does on its own."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.distributions import factorised_kl
from ae_lightning.model import Model

from .drawing.images import frame, grid_figure, is_image, limits_of, scaled
from .drawing.theme import COLOURS, FAINT, INK, Figure, Room, new_figure
from .drawing.vectors import plane, project, show_points
from .picture import PictureCallback, picture

SPAN = 3.0  # standard deviations on either side
POINTS = 301  # of a curve of vectors
# Of the data's range, a change that is seen: of a value in an image, and of a point.
LEAST_IN_IMAGES, LEAST_OF_POINTS = 0.25, 0.02
FRAMES = 13  # of a film, from one end to the other


def importance(model: Model, x: Tensor) -> tuple[Tensor, str]:
    """How much every dimension (K,) says about x, and in what: mean KL in nats, or variance.

    The KL counts only where the codes are held to the prior; elsewhere it may be of any size.
    """
    if model.held_to_prior and model.posterior.stochastic:
        kl = factorised_kl(model.encode(x), model.prior())
        if kl is not None:
            return kl.mean(0), "KL in nats"
    return model.code(x).var(0, unbiased=False), "variance"


class Traversal(NamedTuple):
    """Codes that move one dimension at a time, and where on the way each start lies."""

    z: Tensor  # (N, A, steps, K)
    starts: Tensor  # (A, K)
    own: Tensor  # the starts' own values, in standard deviations from the mean (N, A)


def traversal(
    model: Model, x: Tensor, dims: Sequence[int], starts: Tensor | None, steps: int
) -> Traversal:
    """Move each of N dimensions over ±3 standard deviations, from each of A starts.

    These are the prior's if the codes are held to it; otherwise those of the codes of x (B, *S),
    within the codes' range. The other dimensions stay at the starts (A, K), or at the mean.
    """
    if model.held_to_prior:
        p = model.prior()
        mean, sd = p.mean, p.stddev
    else:
        codes = model.code(x)
        mean, sd = codes.mean(0), codes.std(0, unbiased=False)
    t = torch.linspace(-SPAN, SPAN, steps).to(mean)
    starts = mean[None] if starts is None else starts
    z = starts[:, None].expand(len(dims), -1, steps, -1).clone()
    for row, k in enumerate(dims):
        values = mean[k] + t * sd[k]
        if not model.held_to_prior:
            values = values.clamp(codes[:, k].min(), codes[:, k].max())
        z[row, :, :, k] = values
    return Traversal(z, starts, ((starts - mean) / sd.clamp(min=1e-12)).T[list(dims)])


def without_dimensions(model: Model, dims: Sequence[int] | None) -> str | None:
    """Say which of these dimensions the model's code does not have, or that there are none."""
    last, named = model.latent - 1, None if dims is None else list(dims)
    if named == []:
        return f"dims are none: expected some of 0 to {last}."
    absent = [k for k in named or () if not 0 <= k <= last]
    return f"there is no dimension {absent[0]}: the code has 0 to {last}." if absent else None


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


def change(decoded: Tensor) -> Tensor:
    """By how much each of N dimensions changes a value of (N, A, steps, *S) at most: (N,)."""
    return (decoded.amax(2) - decoded.amin(2)).flatten(1).amax(1)


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
    its channel, row and column, if the code keeps its place) and its KL; if nothing holds the codes
    to the prior, it runs over those of the codes, and is labelled with the variance. A frame marks
    the value nearest to the start's own. Vectors are drawn as the curves along which the mean of
    p(x|z) moves, and the start as a ring.

    Args:
        x: the examples (B, *S) over which KL and variance are means.
        start: the code (K,), or several (A, K), whose other dimensions stay; the mean if None.
        dims: the dimensions to draw; of the `rows` most important if None, those that change a
            value by a quarter of the data's range (of points, by a fiftieth), or else the first.
        rows, columns: how many dimensions and values to draw.

    Raises:
        UsageError: if a dimension does not exist.
    """
    (score, what), vectors = importance(model, x), not is_image(model.shape)
    shown = dimensions_shown(model, x, dims, min(rows, len(COLOURS)) if vectors else rows)
    if start is not None and start.dim() == 1:
        start = start[None]
    z, starts, own = traversal(model, x, shown, start, POINTS if vectors else columns)
    decoded = model.decode(z).mean  # (N, A, steps, *S)
    low, high = (float(x.min()), float(x.max())) if vectors else limits_of(model, x)
    least = LEAST_OF_POINTS if vectors else LEAST_IN_IMAGES
    seen = (change(decoded) >= least * (high - low)).tolist()
    kept = seen if any(seen) else [True, *seen[1:]]  # one row shows that nothing changes
    kept = kept if dims is None else [True] * len(shown)
    # A variance may be of any size, and so may the KL of an untrained model.
    digits = [".2g" if what == "variance" or score[k] >= 1000 else ".2f" for k in shown]
    each = zip(shown, digits, kept, strict=True)
    names = [f"{name_of(model, k)}  {float(score[k]):{d}}" for k, d, drawn in each if drawn]
    one = model.latent == 1
    number = "the one dimension" if one else f"{len(names)} of {model.latent} dimensions"
    left = [f"z{k}" for k, drawn in zip(shown, kept, strict=True) if not drawn]
    without = _left_out(left, least, any(seen))
    decoded, own = decoded[kept], own[kept]
    if vectors:
        title = f"Traversal of {number}, and {'its' if one else 'their'} {what}{without}"
        return _curves(x, decoded, model.decode(starts).mean, names, title)
    title = f"Latent traversal: {number}, by {what}{without}"
    return _grid(decoded, own, title, names, limits_of(model, x), model.held_to_prior)


def _left_out(names: list[str], least: float, others: bool) -> str:
    """A line on the dimensions that are not drawn, or nothing."""
    if names and not others:
        first = f"none of the first {len(names) + 1} alone changes a value by {least:.0%}"
        return f"\n{first}: one row shows it"
    listed = ", ".join(names) if len(names) <= 6 else f"{len(names)} more"
    return f"\nleft out, as they change no value by {least:.0%}: {listed}" if names else ""


def _grid(
    decoded: Tensor,
    own: Tensor,
    title: str,
    names: list[str],
    limits: tuple[float, float],
    held: bool,
) -> Figure:
    """Draw images (N, A, steps, C, H, W) in rows, and frame those nearest to their starts."""
    A, steps = decoded.shape[1:3]
    t = torch.linspace(-SPAN, SPAN, steps)
    marks = [f"{v:+.1f}".replace("-", "−") if v else "0" for v in t.round(decimals=1).tolist()]
    labels = [name if a == 0 else "" for name in names for a in range(A)]
    across = f"standard deviations of the {'prior' if held else 'code, within its range'}"
    images = decoded.flatten(0, 1)
    figure = grid_figure(images, title, labels, marks, limits, (across, ""))
    nearest = (own.flatten().float().cpu()[:, None] - t).abs().argmin(1)
    for row, column in enumerate(nearest.tolist()):
        frame(figure.axes[0], row, column, images.shape[3:])
    return figure


def _curves(x: Tensor, decoded: Tensor, origins: Tensor, names: list[str], title: str) -> Figure:
    figure = new_figure(5.9, 4.2, room=Room(left=0.8, right=1.4, top=0.5))
    axes = figure.subplots()
    onto = plane(x.flatten(1))
    show_points(axes, x, onto, color=FAINT, alpha=0.4)
    for curves, name, colour in zip(decoded, names, COLOURS, strict=False):
        for i, curve in enumerate(curves):
            line = project(curve, onto)
            axes.plot(*line.T, color=colour, label=name if i == 0 else None)
            axes.plot(*line[-1], "o", color=colour, markersize=4)  # the end at +3
    ring = {"markersize": 7, "mfc": "none", "mec": INK, "mew": 1.2, "zorder": 3}
    axes.plot(*project(origins, onto).T, "o", **ring, label="start")
    axes.set_title(title)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


class LatentTraversal(PictureCallback):
    """Draw `latent_traversal`, with its `dims` and `rows`.

    Args:
        start: which of the examples to start from, one or several; the mean if None.
        animated: whether to write a film of the traversal, a GIF, beside the picture; it starts
            from the first.

    Raises:
        UsageError: if a dimension or a starting example does not exist.
    """

    name: ClassVar[str] = "latent_traversal"
    caption: ClassVar[str] = (
        "Each row moves one dimension of the code and keeps the others at those of an example, "
        "whose own value lies nearest to the framed image (of vectors, at the ring). The most "
        "informative come first. It is right if a row changes smoothly and does one thing; what "
        "changes nothing visibly is left out."
    )
    examples: ClassVar[int] = 500

    def __init__(
        self,
        every_n_epochs: int = 0,
        *,
        start: int | Sequence[int] | None = 0,
        dims: Sequence[int] | None = None,
        rows: int = 10,
        animated: bool = False,
        **common: Any,
    ) -> None:
        super().__init__(every_n_epochs, **common)
        self.starts = [start] if isinstance(start, int) else start
        for one in self.starts or ():
            if not 0 <= one < self.items:
                raise UsageError(f"start is {one}: expected an example from 0 to {self.items - 1}.")
        self.dims, self.rows, self.animated = dims, rows, animated

    def suits(self, model: Model, data: Any) -> str | None:
        return without_dimensions(model, self.dims)

    def _starts(self, model: Model, pair: Pair) -> Tensor | None:
        if not self.starts:
            return None
        if (last := max(self.starts)) >= len(pair.x):
            raise UsageError(f"start is {last}, and there are only {len(pair.x)} examples.")
        return model.code(pair.x[list(self.starts)])

    def draw(self, model: Model, pair: Pair) -> Figure:
        return latent_traversal(model, pair.x, self._starts(model, pair), self.dims, self.rows)

    def animate(self, model: Model, pair: Pair) -> Tensor | None:
        if not self.animated or not is_image(model.shape):
            return None
        return traversal_film(model, pair.x, self._starts(model, pair), self.dims, self.rows)


def traversal_film(
    model: Model,
    x: Tensor,
    start: Tensor | None = None,
    dims: Sequence[int] | None = None,
    rows: int = 10,
    frames: int = FRAMES,
) -> Tensor:
    """Return the film of a `latent_traversal` of images, from its first start."""
    first = None if start is None else start.view(-1, model.latent)[:1]
    z = traversal(model, x, dimensions_shown(model, x, dims, rows), first, frames).z
    return film(model.decode(z[:, 0]).mean, limits_of(model, x))


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
