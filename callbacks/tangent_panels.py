"""Tangents as images and walks, or as lines: the panels of `tangent_directions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .signed import extent, signed_colours
from .style import COLOURS, FAINT, finite, label_axes, montage, plane, show_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPS = 7  # images in a walk x + αt
LINES = 60  # vectors whose tangents are drawn


def show_directions(axes: Axes, x: Tensor, kinds: dict[str, Tensor]) -> None:
    """Draw images (B, C, H, W), each with a line of directions (B, k, C, H, W) of every kind.

    All are scaled to unit norm, and share one scale.

    Args:
        x: the images, with values in [0, 1].
    """
    kinds = {name: normalize(t.flatten(2), dim=2).view_as(t) for name, t in kinds.items()}
    k = max(t.shape[1] for t in kinds.values())
    limit = extent(torch.cat([*kinds.values()], dim=1))
    lines: list[Tensor] = []
    for i, image in enumerate(finite(x, "the examples")):
        for directions in kinds.values():
            line = torch.ones(k + 1, 3, *x.shape[2:])
            if len(lines) % len(kinds) == 0:
                line[0] = image
            line[1 : 1 + directions.shape[1]] = signed_colours(directions[i], limit)
            lines.append(line)
    names = ["x", *(f"t{i + 1}" for i in range(k))]
    _show_lines(axes, lines, [*kinds] * len(x), names, len(kinds))


def show_walks(axes: Axes, x: Tensor, tangents: Tensor, each: int, span: float) -> None:
    """Draw the walks x + αt, α from −span to span, along the first tangents (B, k, C, H, W).

    Args:
        x: the images, with values in [0, 1].
        tangents: in the same units.
        each: how many walks an image takes.
    """
    alphas = torch.linspace(-span, span, STEPS)
    lines, names = [], []
    for image, directions in zip(finite(x, "x"), finite(tangents, "a tangent"), strict=True):
        for j, t in enumerate(directions[:each]):
            line = image + alphas.view(-1, 1, 1, 1) * t
            lines.append(line if len(image) == 3 else line[:, :1].expand(-1, 3, -1, -1))
            names.append(f"x + αt{j + 1}")
        for _ in range(each - len(directions)):
            lines.append(torch.ones(STEPS, 3, *x.shape[2:]))
            names.append("")
    columns = [f"{a:+.1f}" if abs(a) > 1e-6 else "x" for a in alphas.tolist()]
    _show_lines(axes, lines, names, columns, each)


def _show_lines(
    axes: Axes, lines: list[Tensor], rows: list[str], columns: list[str], each: int
) -> None:
    """Draw lines of images (n, 3, H, W) below each other, all named, set apart after every few."""
    height, width = lines[0].shape[2:]
    parts, centres, top = [], [], 0
    for i, line in enumerate(lines):
        gap = 0 if i == 0 else 1 if i % each else height // 5
        strip = torch.from_numpy(montage(line))
        parts += [torch.ones(gap, *strip.shape[1:]), strip]
        centres.append(top + gap + (height - 1) / 2)
        top += gap + height
    show_image(axes, torch.cat(parts).numpy(), sharp=True)  # smoothed speckle takes many bytes
    axes.set_yticks(centres, rows)
    axes.set_xticks([i * (width + 1) + (width - 1) / 2 for i in range(len(columns))], columns)
    axes.tick_params(length=0, top=False, labeltop=True, bottom=False, labelbottom=False)


def show_tangents(axes: Axes, x: Tensor, reference: Tensor, learned: Tensor) -> None:
    """Draw reference tangents (B, d, D) at vectors x as thick lines, and learned ones over them.

    Of a learned tangent space, the directions nearest to the reference are drawn, since its basis
    is arbitrary. All in the plane of the data's two leading directions: tangents that leave it
    are shorter.
    """
    from matplotlib.collections import LineCollection

    origin, directions = plane(x.flatten(1))
    points = (finite(x.flatten(1), "the examples") - origin) @ directions.T  # (B, 2)
    axes.scatter(points[:, 0], points[:, 1], s=3, color=FAINT, linewidths=0)
    length = 0.06 * float((points.amax(0) - points.amin(0)).max())
    onto = learned.flatten(2).mT @ learned.flatten(2)  # (B, D, D)
    closest = reference.flatten(2) @ onto
    for tangents, colour, wide in ((reference, "0.78", 4.0), (closest, COLOURS[1], 1.3)):
        flat = normalize(finite(tangents[:LINES].flatten(2), "a tangent"), dim=2)
        sides = length * flat @ directions.T  # (L, d, 2)
        middles = points[:LINES, None]
        ends = torch.stack([middles - sides, middles + sides], dim=2).flatten(0, 1)
        axes.add_collection(LineCollection(list(ends.numpy()), colors=colour, linewidths=wide))
    axes.autoscale_view()
    label_axes(axes, ("x₁", "x₂") if x[0].numel() == 2 else ("first direction", "second direction"))


def show_angles(axes: Axes, angles: dict[str, Tensor]) -> None:
    """Draw a histogram of angles (B,), in degrees, for each kind of tangents."""
    most = max(5.0, max(float(angle.max()) for angle in angles.values()))
    bins = torch.linspace(0, most, 31).tolist()
    for (label, angle), colour in zip(angles.items(), (COLOURS[1], COLOURS[0]), strict=False):
        name = f"{label}: median {float(angle.median()):.1f}°"
        axes.hist(angle.cpu().numpy(), bins, color=colour, alpha=0.7, label=name)
    axes.set_ylabel("examples")
    axes.legend()
