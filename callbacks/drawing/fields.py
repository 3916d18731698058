"""A vector field in a plane of the data's space, left blank far from the data."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, normalize

from ae_lightning.core.errors import UsageError

from .images import tile
from .theme import COLOURS, Axes, AxesImage, drawable

MARGIN = 2  # points beyond those seen
BATCH = 256  # points of a field that go through the model at once
HALF, APART = 21.0, 34.0  # pixels: half a thumbnail, and the distance of its middle from its place
DEPTHS = (40.0, 20.0, 10.0, 5.0, 2.0, 0.5)  # of contours, in nats below the densest place


class Field(NamedTuple):
    """A grid of n × n points in a plane of the data's space; rows are the second coordinate's.

    Values at points that are neither seen nor next to one that is are NaN.
    """

    directions: Tensor  # two orthonormal vectors that span the plane (2, D)
    first: Tensor  # coordinates along the first (n,)
    second: Tensor  # coordinates along the second (n,)
    points: Tensor  # (n, n, *S)
    seen: Tensor  # which points the corruption reaches from the data (n, n)
    apart: Tensor  # how far each is from the nearest example, as a multiple of that reach (n, n)

    @property
    def known(self) -> Tensor:
        """Which points are evaluated (n, n): those seen and their neighbours, for smooth edges."""
        near = max_pool2d(self.seen[None, None].float(), 2 * MARGIN + 1, 1, MARGIN)
        return near[0, 0] > 0

    def evaluate(self, f: Callable[[Tensor], Tensor]) -> Tensor:
        """f: (B, *S) -> (B, *T) at every point that is known, on the CPU: (n, n, *T)."""
        known = self.known
        found = torch.cat(
            [f(some) for some in self.points[known.to(self.points.device)].split(BATCH)]
        )
        values = found.new_full((*known.shape, *found.shape[1:]), torch.nan, device="cpu")
        values[known] = drawable(found, "the field").to(values)
        return values.float()

    def within(self, vectors: Tensor) -> Tensor:
        """The part of vectors (n, n, *S) that lies in the plane: (n, n, 2)."""
        return vectors.flatten(2) @ self.directions.T


def reach(sigma: float, D: int) -> float:
    """σ(√D + 2): fewer than 1 in 200 draws of D-dimensional Gaussian noise are longer."""
    return sigma * (math.sqrt(D) + 2)


def field(x: Tensor, radius: float, onto: tuple[Tensor, Tensor], span: Tensor, n: int) -> Field:
    """Lay a grid of n × n points over a plane, in square cells.

    Args:
        x: the data (B, *S).
        radius: a point farther than this from all data is not seen.
        onto: the plane's origin (D,) and two orthonormal directions (2, D).
        span: points in the plane's coordinates (m, 2) that the grid covers, with a margin.
        n: how many points lie along a side.

    Raises:
        UsageError: if no point is seen.
    """
    origin, directions = onto
    low, high = span.amin(0), span.amax(0)
    width = float((high - low).max())
    half = width / 2 + min(radius, width / 3)
    first, second = ((low + high)[:, None] / 2 + torch.linspace(-half, half, n)).unbind()
    v, u = torch.meshgrid(second, first, indexing="ij")
    flat = origin + torch.stack([u, v], dim=2).flatten(0, 1) @ directions  # (n², D)
    apart = torch.cdist(flat, x.flatten(1).float().cpu()).amin(1).view(n, n) / radius
    seen = apart <= 1
    if not seen.any():
        raise UsageError(f"no example lies within {radius:.3g} of the plane of the field.")
    return Field(directions, first, second, flat.to(x).view(n, n, *x.shape[1:]), seen, apart)


def plane_of_three(x: Tensor, y: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor, list[int]]:
    """The plane through the first example and two others, of other labels if there are any.

    Return it, with the first example as its origin, and the coordinates (3, 2) and places of all.
    """
    labels = y.tolist()
    others = sorted(range(1, len(x)), key=lambda i: labels[i] in (labels[0], *labels[1:i]))[:2]
    if len(others) < 2:
        others = (others * 2 or [0, 0])[:2]
    places = [0, *others]
    flat = x[places].flatten(1).float().cpu()
    Q, R = torch.linalg.qr((flat[1:] - flat[0]).T)  # (D, 2), (2, 2)
    sign = R.diagonal().sign()
    return (flat[0], (Q * sign).T), torch.cat([R.new_zeros(1, 2), (R * sign[:, None]).T]), places


def kernel_log_density(points: Tensor, x: Tensor, sigma: float) -> Tensor:
    """log p_σ of the examples x (B, *S) themselves, each smoothed by N(0, σ²I), at points: (m,)."""
    squared = torch.cdist(points.flatten(1), x.flatten(1)).square()
    constant = math.log(len(x)) + x[0].numel() / 2 * math.log(2 * math.pi * sigma**2)
    return (-squared / (2 * sigma**2)).logsumexp(1) - constant


def show_density(axes: Axes, grid: Field, log_p: Tensor) -> None:
    """Fill the contours of a log-density (n, n); darker is denser."""
    levels = [float(log_p[grid.seen].max()) - depth for depth in DEPTHS]
    greys = ["#f4f4f4", "#ebebeb", "#e0e0e0", "#d2d2d2", "#c2c2c2", "#adadad", "#989898"]
    at = grid.first.numpy(), grid.second.numpy()
    clip(axes, grid, axes.contourf(*at, log_p.numpy(), levels, colors=greys, extend="both"))


def clip(axes: Axes, grid: Field, drawn: Any) -> None:
    """Cut what is drawn of a field along the edge of what the corruption reaches."""
    at = grid.first.numpy(), grid.second.numpy()
    edge = axes.contourf(*at, grid.apart.numpy(), [-1.0, 1.0], alpha=0)
    (path,) = edge.get_paths()
    drawn.set_clip_path(path, transform=axes.transData)
    edge.remove()


def show_arrows(axes: Axes, grid: Field, vectors: Tensor, colour: str, longest: float) -> None:
    """Draw the arrows of vectors (n, n, 2) in the plane; `longest` spans two cells."""
    cell = float(grid.first[1] - grid.first[0])
    v, u = torch.meshgrid(grid.second, grid.first, indexing="ij")
    how = {"angles": "xy", "scale_units": "xy", "width": 0.005, "minlength": 0.3}
    at = u[grid.seen].numpy(), v[grid.seen].numpy()
    arrows = vectors[grid.seen].T.numpy()
    axes.quiver(*at, *arrows, color=colour, scale=longest / (2 * cell), **how)


def show_cells(axes: Axes, grid: Field, values: Tensor, colours: str) -> AxesImage:
    """Draw non-negative values (n, n) as colours; the 2 % largest share one."""
    most = float(values[grid.seen].quantile(0.98)) or 1.0
    half = float(grid.first[1] - grid.first[0]) / 2
    sides = [(float(side[0]) - half, float(side[-1]) + half) for side in (grid.first, grid.second)]
    how = {"cmap": colours, "vmin": 0, "vmax": most, "interpolation": "bilinear"}
    image = axes.imshow(values.numpy(), extent=sum(sides, ()), origin="lower", **how)
    clip(axes, grid, image)
    return image


def show_corners(axes: Axes, x: Tensor, corners: Tensor) -> None:
    """Mark the coordinates (n, 2) of images (n, C, H, W) in [0, 1], with a thumbnail next to each.

    A thumbnail lies outwards of its place, within the axes and clear of the others.
    """
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    dpi = axes.get_figure().dpi
    at = torch.from_numpy(axes.transData.transform(corners.numpy()))  # pixels, (n, 2)
    low, high = torch.tensor(axes.bbox.extents).view(2, 2)
    turns = torch.arange(16, dtype=at.dtype) / 16 * 2 * math.pi
    ways = torch.stack([turns.cos(), turns.sin()], dim=1)  # (16, 2)
    outwards = normalize(at - at.mean(0), dim=1)
    placed: list[Tensor] = []
    for i, (image, corner, away) in enumerate(zip(x, corners.tolist(), outwards, strict=True)):
        spots = at[i] + APART * normalize(ways, dim=1, p=math.inf)
        inside = ((spots - HALF > low + 3) & (spots + HALF < high - 3)).all(1)
        others = [*at[:i], *at[i + 1 :], *placed]
        sides = [HALF + 4.0] * (len(at) - 1) + [2 * HALF + 4.0] * len(placed)
        clear = [(spots - o).abs().amax(1) > side for o, side in zip(others, sides, strict=True)]
        best = int((ways @ away + 8.0 * inside + sum(4.0 * c for c in clear)).argmax())
        placed.append(spots[best])
        shown = tile(image[None, None]).squeeze()
        zoom = 2 * HALF * 72 / dpi / max(image.shape[1:])
        axes.plot(*corner, "o", color=COLOURS[1], markersize=4)
        thumbnail = OffsetImage(shown, zoom=zoom, cmap="gray")
        beside = ((spots[best] - at[i]) * 72 / dpi).tolist()
        line = {"arrowstyle": "-", "color": COLOURS[1]}
        how = {"pad": 0.1, "arrowprops": line, "bboxprops": {"edgecolor": COLOURS[1]}}
        axes.add_artist(AnnotationBbox(thumbnail, corner, beside, boxcoords="offset points", **how))
