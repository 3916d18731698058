"""Images of signed values, such as scores and tangents, on a scale symmetric about 0."""

from __future__ import annotations

from torch import Tensor

from .theme import DIVERGING, finite


def extent(images: Tensor) -> float:
    """The largest magnitude but for the outermost 1/200 of all values, and never 0."""
    flat = finite(images, "an image").abs().flatten()
    rank = max(1, round(0.995 * len(flat)))
    return float(flat.kthvalue(rank).values) or float(flat.max()) or 1.0


def signed_colours(images: Tensor, limit: float) -> Tensor:
    """Map signed images (N, C, H, W) to colours (N, 3, H, W) in [0, 1], 0 being the middle.

    One channel is blue below and red above 0; three are colours about mid-grey.
    """
    from matplotlib import colormaps

    shown = (finite(images, "an image") / limit).clamp(-1, 1) / 2 + 0.5
    if shown.shape[1] == 3:
        return shown
    rgb = colormaps[DIVERGING](shown[:, 0].numpy())[..., :3]  # (N, H, W, 3)
    return shown.new_tensor(rgb).permute(0, 3, 1, 2)
