"""Images whose pixels take a whole number of the picture's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.image import AxesImage
from matplotlib.transforms import IdentityTransform
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Pixels(AxesImage):  # type: ignore[misc]
    """An image that fills its axes, coloured before it is enlarged, and enlarged by repetition.

    matplotlib's own enlarges first, and colours what is then many times as large. Where a pixel
    would not take a whole number of the picture's, as at a user's own resolution, it is left to
    matplotlib.
    """

    def make_image(
        self, renderer: Any, magnification: float = 1.0, unsampled: bool = False
    ) -> tuple[NDArray[np.uint8], float, float, Any]:
        box, (height, width) = self.axes.bbox, self.get_size()
        sides = magnification * box.width / width, magnification * box.height / height
        k = round(sides[0])
        if k < 1 or max(abs(side - k) for side in sides) > 1e-3:
            return super().make_image(renderer, magnification, unsampled)  # type: ignore[no-any-return]
        small = self.to_rgba(self.get_array(), bytes=True)  # (H, W, 4)
        shown = small[::-1].repeat(k, axis=0).repeat(k, axis=1)  # from the lowest row on
        return shown, round(box.x0), round(box.y0), IdentityTransform()


def show_pixels(axes: Axes, image: NDArray[np.float32]) -> None:
    """Draw an image (H, W) or (H, W, 3) with values in [0, 1] over the whole of its axes."""
    axes.set_aspect("equal")
    shown = Pixels(axes, cmap="gray", interpolation="nearest")
    shown.set_data(image)
    shown.set_clim(0, 1)
    shown.set_extent(shown.get_extent())
    axes.add_image(shown)
