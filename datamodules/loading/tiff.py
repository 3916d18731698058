"""TIFF files by their tags: which pages they hold, and values that Pillow would misread."""

import math
import os
import re
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ae_lightning.core.errors import UsageError
from ae_lightning.core.memory import require_room

from .pixels import Pixels, oriented

TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # how one begins
REDUCED: Final = 0b101  # bits of a page's kind: a smaller copy, or a mask, of another page
UNSIGNED, SIGNED, FLOAT, UNDEFINED = 1, 2, 3, 4
WHITE, BLACK, RGB = 0, 1, 2  # what 0 stands for, or the colour space
COLOURS: Final = {WHITE: 1, BLACK: 1, RGB: 3, 3: 1, 5: 4, 6: 3}  # and a palette, CMYK, YCbCr
SPACES: Final = {3: "a palette", 5: "CMYK", 6: "YCbCr", 8: "CIE L*a*b*", 32803: "a sensor's mosaic"}
STACK: Final = re.compile(r"ImageJ=.*?\nimages=(\d{1,9})\n", re.DOTALL)  # a description
SCALING: Final = 12  # bytes that it takes to bring a value to [0, 1]: of a double and a float
ASSOCIATED, UNASSOCIATED = 1, 2  # opacity that colours are multiplied by, or not


class Page(NamedTuple):
    """One page, as its tags describe it.

    Args:
        place: its place among all pages of the file.
        bits, kind: how many bits each channel's values have, and which kind of number they are.
        channels: how many channels there are, those in `extra` included.
        space: TIFF's PhotometricInterpretation.
        extra: what the channels beyond the colours are.
        orientation: EXIF's.
        apart: whether each channel lies apart from the others.
    """

    place: int
    width: int
    height: int
    bits: tuple[int, ...]
    kind: tuple[int, ...]
    channels: int
    space: int
    extra: tuple[int, ...]
    orientation: int
    apart: bool

    @property
    def opacity(self) -> bool:
        """Whether the last channel is opacity, and all others are colours."""
        known = self.extra in ((ASSOCIATED,), (UNASSOCIATED,))
        return known and self.channels == COLOURS.get(self.space, 0) + 1

    @property
    def bands(self) -> bool:
        """Whether the channels are no colours."""
        return self.channels != COLOURS.get(self.space, 0) + self.opacity

    @property
    def plain(self) -> bool:
        """Whether Pillow reads it as it is: unsigned, at most 8 bits, colours and opacity."""
        few = set(self.bits) == {8} or (self.channels == 1 and self.bits[0] in (1, 2, 4))
        known = self.space in COLOURS and not self.bands and not (self.opacity and self.apart)
        return few and known and set(self.kind) <= {UNSIGNED, UNDEFINED}

    def read(self, file: BinaryIO) -> Pixels:
        """Decode it by tifffile.

        Raises:
            ValueError: if what it holds has no plain meaning as an image.
        """
        (bits, *other), (kind, *kinds) = self.bits, self.kind
        if self.space not in (WHITE, BLACK, RGB):
            space = SPACES.get(self.space, f"number {self.space}")
            raise ValueError(f"its colour space is {space}, with {bits} bits a value")
        if {*other} - {bits} or {*kinds} - {kind}:
            raise ValueError("its channels are of different types")
        if kind not in (UNSIGNED, SIGNED, FLOAT, UNDEFINED):
            raise ValueError("its values are complex numbers")
        if self.opacity and self.extra == (ASSOCIATED,):
            raise ValueError(f"its colours of {bits} bits are multiplied by their opacity")
        least = -(2 ** (bits - 1)) if kind == SIGNED else 0
        span = None if kind == FLOAT else (least, least + 2**bits - 1)
        values = oriented(self._values(file), self.orientation)
        return Pixels(values, span, self.space == WHITE, self.opacity, self.bands)

    def _values(self, file: BinaryIO) -> NDArray[Any]:
        try:
            from tifffile import TiffFile
        except ImportError:
            raise UsageError(
                "it needs tifffile, which is not installed (pip install 'ae-lightning[tiff]')."
            ) from None
        file.seek(0)
        with TiffFile(file, name="image.tif") as tiff:
            page = tiff.pages[self.place]
            axes, apiece = str(page.axes), math.prod(page.chunks)  # type: ignore[union-attr]
            if sorted(axes) not in (["X", "Y"], ["S", "X", "Y"]):
                raise ValueError(f"its axes are {axes}")
            require_room(max(page.size, apiece) * (max(self.bits) / 8 + SCALING), "it")
            values = np.asarray(page.asarray())
        if "S" not in axes:
            values, axes = values[..., None], f"{axes}S"
        return values.transpose([axes.index(axis) for axis in "YXS"])


def tiff_pages(file: BinaryIO) -> list[Page] | None:
    """Return the pages of a TIFF file but for reduced copies of others; None of another format.

    Raises:
        Exception: of many kinds, if it is damaged.
    """
    file.seek(0)
    head = file.read(4)
    if head not in TIFF:
        return None
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    head += file.read(12 if b"+" in head else 4)  # a BigTIFF has 64-bit addresses
    tags = ImageFileDirectory_v2(head)
    pages, seen = list[Page](), set[int]()
    while tags.next and tags.next not in seen:
        seen.add(tags.next)
        file.seek(tags.next)
        tags.load(file)
        if not int(tags.get(254, 0)) & REDUCED:
            pages.append(described(len(seen) - 1, tags))
    if not pages:
        raise ValueError("it holds no page of its own, but reduced copies at most")
    if stack := STACK.match(str(tags.get(270, ""))):  # of more than 4 GB, say
        page, size = pages[0], file.seek(0, os.SEEK_END)
        each = page.width * page.height * sum(page.bits) / 8
        if int(stack[1]) > len(seen) and size > int(stack[1]) * each:
            raise ValueError(f"a stack of {stack[1]} images of ImageJ's that it does not list")
    return pages


def described(place: int, tags: Any) -> Page:
    """Read a page's tags."""
    channels = int(tags.get(277, 1))
    return Page(
        place,
        width=int(tags[256]),
        height=int(tags[257]),
        bits=tuple(tags.get(258, (1,))),
        kind=tuple(tags.get(339, (UNSIGNED,))),
        channels=channels,
        space=int(tags.get(262, BLACK)),
        extra=tuple(tags.get(338, ())),
        orientation=int(tags.get(274, 1)),
        apart=tags.get(284) == 2,
    )
