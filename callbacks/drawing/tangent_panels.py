"""Tangents as images and walks, or as lines: the panels of `tangent_directions`."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from . import images
from .theme import COLOURS, FAINT, Axes, Figure, drawable, legend
from .vectors import name_axes, plane, project

WALK = 5  # images in a walk x + αt
TANGENTS = 60  # vectors whose tangents are drawn


class ImageLines(NamedTuple):
    """Lines of images with their names."""

    lines: list[Tensor]  # (n, 3, H, W) each
    rows: list[str]  # none, if the grid stands beside another
    columns: list[str]
    each: int  # how many lines belong together


def directions_grid(x: Tensor, kinds: dict[str, Tensor]) -> ImageLines:
    """Lay out images (B, C, H, W), each with a line of directions (B, k, C, H, W) of every kind.

    Images have values in [0, 1]; directions have unit norm, and one colour scale.
    """
    kinds = {name: normalize(t.flatten(2), dim=2).view_as(t) for name, t in kinds.items()}
    k = max(t.shape[1] for t in kinds.values())
    limit = images.extent(torch.cat([*kinds.values()], dim=1))
    lines: list[Tensor] = []
    for i, image in enumerate(drawable(x, "the examples")):
        for directions in kinds.values():
            line = torch.ones(k + 1, 3, *x.shape[2:])
            if len(lines) % len(kinds) == 0:
                line[0] = images.as_colours(image)
            line[1 : 1 + directions.shape[1]] = images.signed_colours(directions[i], limit)
            lines.append(line)
    names = ["x", *(f"t{i + 1}" for i in range(k))]
    return ImageLines(lines, [*kinds] * len(x), names, len(kinds))


def walks_grid(x: Tensor, tangents: Tensor, span: float) -> ImageLines:
    """Lay out the walks x + αt, α from −span to span, along n tangents of each image.

    Images (B, C, H, W) have values in [0, 1], and tangents (B, n, C, H, W) the same units.
    """
    alphas = torch.linspace(-span, span, WALK)
    lines = []
    for image, directions in zip(drawable(x, "x"), drawable(tangents, "a tangent"), strict=True):
        for t in directions:
            lines.append(images.as_colours(image + alphas.view(-1, 1, 1, 1) * t))
    columns = [f"{a:+.1f}".replace("-", "−") if abs(a) > 1e-6 else "x" for a in alphas.tolist()]
    return ImageLines(lines, [], columns, tangents.shape[1])


def show_grids(title: str, grids: dict[str, ImageLines]) -> Figure:
    """Draw grids of equally many lines side by side, each under its own title."""
    sides = {n: 10 + images.LETTER * max(map(len, g.rows), default=0) for n, g in grids.items()}
    stacks, centres = {}, {}
    for name, grid in grids.items():
        stacks[name], centres[name] = _stack(grid)
    scale = images.whole_scale(sum(image.shape[1] for image in stacks.values()))
    spread = {n: max(round(s.shape[1] * scale), 10 * len(n)) for n, s in stacks.items()}
    width = sum(sides.values()) + sum(16 + wide for wide in spread.values())
    lines = title.split("\n")
    head = 64 + 25 * len(lines)  # the title, the panels' titles, and the columns' names
    height = round(scale * max(image.shape[0] for image in stacks.values()))
    figure = images.pixel_figure(max(width, 10.4 * max(map(len, lines))), head + height + 10)
    figure.suptitle(title, x=0.01, y=1 - 6 / (head + height + 10), ha="left")
    left = 0
    for name, grid in grids.items():
        rows, columns = (round(length * scale) for length in stacks[name].shape[:2])
        axes = images.place(figure, left + sides[name] + 6, head, columns, rows)
        images.show_image(axes, stacks[name], sharp=scale >= 1)
        axes.set_title(name, pad=18)
        images.write_rows(axes, centres[name], grid.rows)
        cell = grid.lines[0].shape[3] + 1
        middles = [(i + 0.5) * cell - 1 for i in range(len(grid.columns))]
        images.write_columns(axes, middles, grid.columns, above=True)
        left += sides[name] + 16 + spread[name]
    return figure


def _stack(grid: ImageLines) -> tuple[NDArray[np.float32], list[float]]:
    """Stack the lines, those of each image together; also return the heights of their middles."""
    height = grid.lines[0].shape[2]
    parts, centres, top = [], [], 0
    for i, line in enumerate(grid.lines):
        gap = 0 if i == 0 else 1 if i % grid.each else height // 5
        strip = torch.from_numpy(images.tile(line[None]))
        parts += [torch.ones(gap, *strip.shape[1:]), strip]
        centres.append(top + gap + (height - 1) / 2)
        top += gap + height
    return torch.cat(parts).numpy(), centres


def show_tangents(axes: Axes, x: Tensor, reference: Tensor, learned: Tensor) -> None:
    """Draw reference tangents (B, d, D) at vectors x as thick lines, and learned ones over them.

    The basis of a learned tangent space is arbitrary: its directions nearest to the reference are
    drawn. All lie in the plane of the data's two leading directions; tangents that leave it look
    shorter.
    """
    from matplotlib.collections import LineCollection

    origin, directions = plane(x.flatten(1))
    points = torch.from_numpy(project(x, (origin, directions)))  # (B, 2)
    axes.scatter(points[:, 0], points[:, 1], s=3, color=FAINT, linewidths=0)
    length = 0.06 * float((points.amax(0) - points.amin(0)).max())
    onto = learned.flatten(2).mT @ learned.flatten(2)  # (B, D, D)
    closest = reference.flatten(2) @ onto
    for tangents, colour, wide in ((reference, "0.78", 4.0), (closest, COLOURS[1], 1.3)):
        flat = normalize(drawable(tangents[:TANGENTS].flatten(2), "a tangent"), dim=2)
        sides = length * flat @ directions.T  # (L, d, 2)
        middles = points[:TANGENTS, None]
        ends = torch.stack([middles - sides, middles + sides], dim=2).flatten(0, 1)
        axes.add_collection(LineCollection(list(ends.numpy()), colors=colour, linewidths=wide))
    axes.autoscale_view()
    name_axes(axes, x[0].numel())


def show_angles(axes: Axes, angles: dict[str, Tensor]) -> None:
    """Draw a histogram of angles (B,), in degrees, for each kind of tangents."""
    most = max(5.0, max(float(angle.max()) for angle in angles.values()))
    bins = torch.linspace(0, most, 31).tolist()
    for (label, angle), colour in zip(angles.items(), (COLOURS[1], COLOURS[0]), strict=False):
        name = f"{label}: median {float(angle.median()):.1f}°"
        axes.hist(angle.cpu().numpy(), bins, color=colour, alpha=0.7, label=name)
    axes.set_ylabel("examples")
    legend(axes)
