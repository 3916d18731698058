"""How an image becomes an example: opacity, channels, size and scale, by one set of rules."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ae_lightning.core.errors import UsageError, at_least, one_of

from .decoding import decoded, opened
from .notices import Notice
from .pixels import LUMA, Ambiguous, Pixels, over

Fit = Literal["crop", "pad", "stretch"]
LEVELS: Final = 255  # the greatest value of 8 bits
TRANSPARENT: Final = "transparent images are laid over data.background, which is white unless set."
DEEP: Final = (
    "images of more than 8 bits are scaled to [0, 1] by the range of their type, or data.range if "
    "set, and stored as floats, or as bytes if data.bits is 8."
)


@dataclass(frozen=True)
class Rendering:
    """What makes x (C, H, W) of an image file: bytes, or floats in [0, 1] of deeper images.

    Args:
        size: (H, W) to bring it to; its own, if None.
        fit: how to do so if the proportions differ.
        greyscale: whether there is one channel, and not three.
        background: the colour behind transparent and beside padded images, in [0, 1].
        span: what becomes 0 and 1 in images of more than 8 bits; their type's range, if None.
        bits: of a stored value; if None, as many as the image needs.
        max_pixels: how many an image may have.
    """

    size: tuple[int, int] | None = None
    fit: Fit = "crop"
    greyscale: bool = False
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    span: tuple[float, float] | None = None
    bits: Literal[8, 32] | None = None
    max_pixels: int = 200_000_000
    transparent: Notice = field(default_factory=partial(Notice, TRANSPARENT))
    deep: Notice = field(default_factory=partial(Notice, DEEP))

    def __post_init__(self) -> None:
        if self.size is not None:
            at_least("resize", min(self.size), 1)
        for value in self.background:
            if not 0 <= value <= 1:
                raise UsageError(f"background is {value}: expected values in [0, 1].")
        if self.span is not None and not -math.inf < self.span[0] < self.span[1] < math.inf:
            raise UsageError(f"range is {list(self.span)}: expected a lower and a higher number.")
        one_of("fit", self.fit, get_args(Fit))
        one_of("bits", self.bits, (None, 8, 32))
        at_least("max_pixels", self.max_pixels, 1)

    def __call__(self, path: Path, frame: int | None = None) -> Tensor:
        """Read one frame of a file; if None, its only one.

        Raises:
            UsageError: if the file cannot be read, or the options do not say how.
        """
        return torch.from_numpy(np.array(self.read(path, frame), order="C"))

    def read(self, path: Path, frame: int | None = None) -> NDArray[Any]:
        """Read as an array, perhaps one that is read only: a tensor takes longer to make."""
        mode = "L" if self.greyscale else "RGB"
        side = 0 if self.size is None else max(self.size)  # whichever way a photograph lies
        draft = (mode, (side, side)) if side else None
        with opened(path, self.max_pixels) as file:
            image = decoded(path, file, frame, draft, self.max_pixels)
            return self._deep(image) if isinstance(image, Pixels) else self._shallow(image, mode)

    def _shallow(self, image: Any, mode: str) -> NDArray[Any]:
        """Render an image of Pillow's, of 8 bits."""
        from PIL import Image, ImageOps

        ink = tuple([round(b * LEVELS) for b in self.background])
        ImageOps.exif_transpose(upright := image, in_place=True)
        if upright.has_transparency_data:
            whole = upright.convert({"La": "LA", "RGBa": "RGBA"}.get(upright.mode, upright.mode))
            clear: Any = whole.convert("RGBA")
            if clear.getchannel("A").getextrema()[0] < LEVELS:
                self.transparent.say()
                upright = Image.alpha_composite(Image.new("RGBA", clear.size, ink), clear)
        flat = upright if upright.mode == mode else upright.convert(mode)
        if self.size not in (None, flat.size[::-1]):
            flat = self._sized(flat, Image.new("RGB", (1, 1), ink).convert(mode).getpixel((0, 0)))
        x = np.frombuffer(flat.tobytes(), np.uint8)
        x = x.reshape(flat.height, flat.width, len(mode)).transpose(2, 0, 1)
        return as_floats(x) if self.bits == 32 else x

    def _deep(self, pixels: Pixels) -> NDArray[Any]:
        """Render what has more than 8 bits a value, or channels that are no colours."""
        from PIL import Image

        x = pixels.scaled(self.span if pixels.deep else None)
        if pixels.deep:
            self.deep.say()
        if pixels.opacity:
            if x[..., -1].min() < 1:
                self.transparent.say()
            x = over(x, self._behind(x.shape[2] - 1))
        x = self._channels(x, pixels.bands)
        if self.size is not None:
            inks = zip(x.transpose(2, 0, 1), self._behind(x.shape[2]).tolist(), strict=True)
            each = [np.array(self._sized(Image.fromarray(c), ink)) for c, ink in inks]
            x = np.stack(each, axis=2).clip(0, 1)  # bicubic interpolation overshoots
        x = x.transpose(2, 0, 1)
        bits = self.bits or (32 if pixels.deep else 8)
        return (x * np.float32(LEVELS)).round().astype(np.uint8) if bits == 8 else x

    def _channels(self, x: NDArray[np.float32], bands: bool) -> NDArray[np.float32]:
        """Make one channel of colours, or three; bands stay as they are."""
        if bands and self.greyscale:
            raise Ambiguous(
                f"holds {x.shape[2]} bands, which are no colours: set data.greyscale to false."
            )
        if not bands and self.greyscale != (x.shape[2] == 1):
            return x @ LUMA[:, None] if self.greyscale else x.repeat(3, axis=2)
        return x

    def _behind(self, channels: int) -> NDArray[np.float32]:
        """The background in three colours, or as many times in grey."""
        colours = np.array(self.background, np.float32)
        return colours if channels == 3 else np.full(channels, colours @ LUMA)

    def _sized(self, image: Any, ink: Any) -> Any:
        """Bring an image of Pillow's to the size."""
        from PIL import Image, ImageOps

        assert self.size is not None
        ways: dict[str, Callable[..., Any]] = {
            "crop": ImageOps.fit,
            "pad": partial(ImageOps.pad, color=ink),
            "stretch": Image.Image.resize,
        }
        (w, h), (width, height), how = image.size, self.size[::-1], Image.Resampling.BICUBIC
        if self.fit == "pad" and min(width * h / w, height * w / h) <= 0.5:  # rounded to nothing
            image = image.resize((width, 1) if w > h else (1, height), how)
        return ways[self.fit](image, (width, height), how)


def as_floats(x: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bytes as floats in [0, 1]."""
    return x.astype(np.float32) / np.float32(LEVELS)
