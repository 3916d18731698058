"""Interpolations: what lies between the codes of two examples."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ae_lightning.core.types import Pair
from ae_lightning.model import Model

from .drawing.images import grid_figure, is_image, limits_of
from .drawing.theme import Figure
from .drawing.vectors import paths_figure
from .picture import PictureCallback, picture


def spherical(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    r"""Interpolate along the great circle: (P, K), (P, K), (T,) -> (P, T, K).

    .. math:: \Bigl((1-t)\lVert a\rVert + t\lVert b\rVert\Bigr)\;
        \frac{\sin((1-t)Ω)\,\hat a + \sin(tΩ)\,\hat b}{\sin Ω}

    with Ω the angle between a and b, and hats for their directions; in a straight line if they
    point the same way or opposite ways. Under a normal prior of many dimensions, codes lie near a
    sphere, which a straight line leaves.

    References:
        | Animating Rotation with Quaternion Curves (Shoemake, 1985)
        | Sampling Generative Networks (White, 2016)
    """
    units = [normalize(end, dim=1)[:, None] for end in (a, b)]
    angle = (units[0] * units[1]).sum(2, keepdim=True).clamp(-1, 1).acos()  # (P, 1, 1)
    norm = straight(a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True), t)  # (P, T, 1)
    t = t[:, None]
    arc = ((1 - t) * angle).sin() * units[0] + (t * angle).sin() * units[1]  # (P, T, K)
    turns = angle.sin() > 1e-3
    return torch.where(turns, norm * arc / angle.sin().clamp(min=1e-3), straight(a, b, t[:, 0]))


def straight(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Interpolate in a straight line: (P, K), (P, K), (T,) -> (P, T, K)."""
    return a[:, None] + t[:, None] * (b - a)[:, None]


def between(model: Model, a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Decode the codes between those of a and b (P, *S): (P, 2, T, *S), straight and spherical."""
    ends = model.code(a), model.code(b)
    z = torch.stack([straight(*ends, t), spherical(*ends, t)], dim=1)  # (P, 2, T, K)
    return model.decode(z).mean  # type: ignore[no-any-return]


@picture
def interpolation(model: Model, a: Tensor, b: Tensor, steps: int = 9) -> Figure:
    """Draw the decoded codes between those of examples a and b, linearly and spherically.

    The examples themselves stand at both ends of a row. Vectors are drawn as decoded paths.

    Args:
        a, b: the examples (P, *S).
        steps: how many codes to decode, including both ends.
    """
    vectors = not is_image(model.shape)
    t = torch.linspace(0, 1, 61 if vectors else steps).to(a)
    decoded = between(model, a, b, t)
    title = "Interpolation between the codes of two examples"
    if vectors:
        kinds = {"linear": decoded[:, 0], "spherical": decoded[:, 1]}
        return paths_figure(torch.cat([a, b]), title, kinds, 4.2, {"s": 12}, ("-", "--"))
    first, last = (end[:, None, None].expand(-1, 2, 1, *end.shape[1:]) for end in (a, b))
    images = torch.cat([first, decoded, last], dim=2).flatten(0, 1)  # (2P, T + 2, *S)
    marks = [f"{value:g}" if 4 * value % 1 == 0 else "" for value in t.tolist()]
    rows = ["linear", "spherical"] * len(a)
    return grid_figure(images, title, rows, ["x", *marks, "x'"], limits_of(model, a))


class Interpolation(PictureCallback):
    """Draw `interpolation` between pairs of validation examples; an odd one is left out."""

    name: ClassVar[str] = "interpolation"
    caption: ClassVar[str] = (
        "What the codes between those of two validation examples decode to, in a straight line and "
        "along the great circle; the examples stand at both ends. It is right if every step is a "
        "plausible example; if one image fades into the other, the code has holes."
    )
    caption_of_vectors: ClassVar[str] = (
        "What the codes between those of two validation examples (dots) decode to, in a straight "
        "line and along the great circle, pair by pair. It is right if the paths stay where the "
        "data are; where they cross empty places, the code has holes."
    )
    examples: ClassVar[int] = 8
    fewest: ClassVar[int] = 2

    def draw(self, model: Model, pair: Pair) -> Figure:
        half = len(pair.x) // 2
        return interpolation(model, pair.x[:half], pair.x[half : 2 * half])
