"""Pixels as a file holds them, and what they become: values in [0, 1]."""

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ae_lightning.core.errors import UsageError

# What red, green and blue add to grey, by ITU-R BT.601, as in Pillow.
LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)


class Ambiguous(UsageError):
    """A file can be read in several ways, and the options do not say in which."""


class Pixels(NamedTuple):
    """What a file holds, if it is more than 8-bit colours.

    Args:
        values: as they are stored (H, W, C).
        span: the least and greatest value of their type; None if they are floats.
        inverted: whether the least stands for white.
        opacity: whether the last channel is opacity.
        bands: whether the channels are no colours.
    """

    values: NDArray[Any]
    span: tuple[float, float] | None
    inverted: bool = False
    opacity: bool = False
    bands: bool = False

    @property
    def deep(self) -> bool:
        """Whether 8 bits would lose something."""
        return self.values.dtype.itemsize > 1

    def scaled(self, span: tuple[float, float] | None) -> NDArray[np.float32]:
        """Return x = (value − low) / (high − low), in [0, 1]: (H, W, C).

        Args:
            span: low and high; those of the type, if None, and [0, 1] for floats.

        Raises:
            Ambiguous: if a value lies outside.
            ValueError: if one is not a finite number.
        """
        low, high = span or self.span or (0.0, 1.0)
        least, most = float(self.values.min()), float(self.values.max())
        if not math.isfinite(most - least):
            raise ValueError(f"it holds values from {least:.6g} to {most:.6g}: some are not finite")
        if not low <= least <= most <= high:
            raise Ambiguous(
                f"holds values from {least:.6g} to {most:.6g}, and not in [{low:.6g}, {high:.6g}]: "
                "set data.range to the two values that become 0 and 1."
            )
        x = (self.values.astype(np.float64) - low) / (high - low)
        colours = x[..., : x.shape[2] - self.opacity]
        colours[:] = 1 - colours if self.inverted else colours
        return x.astype(np.float32)


def over(x: NDArray[np.float32], background: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return α c + (1 − α) b of colours c and opacity α (H, W, C + 1), over a background b.

    >>> over(np.float32([[[0.0, 0.25]]]), np.float32([1.0])).tolist()
    [[[0.75]]]
    """
    c, alpha = x[..., :-1], x[..., -1:]
    return alpha * c + (1 - alpha) * background


def oriented(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn pixels (H, W, C) upright, by EXIF's number 1 to 8 of how they lie.

    >>> oriented(np.array([[[1], [2]]]), 3)[..., 0].tolist()
    [[2, 1]]
    """
    if orientation in (5, 6, 7, 8):
        values = values.transpose(1, 0, 2)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return values[rows, columns]
