"""Decode image files by their own description: nothing wrapped, clipped or reduced unsaid."""

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from ae_lightning.core.errors import UsageError, printable
from ae_lightning.core.files import open_regular

from .formats import HEAD, READ, foreign, formats
from .pixels import Ambiguous, Pixels, oriented
from .tiff import tiff_pages


class Unreadable(UsageError):
    """A file is damaged, or not an image of a format that is read.

    Args:
        wrong: the file, and what is wrong with it.
        cure: what to do about it.
    """

    def __init__(self, wrong: str, cure: str = "replace or remove it") -> None:
        super().__init__(f"{wrong}: {cure}, or set data.unreadable to skip.")
        self.wrong = wrong


@contextmanager
def opened(path: Path, max_pixels: int) -> Iterator[BinaryIO]:
    """Open an image file to decode it, with `max_pixels` in the place of Pillow's own limit.

    That holds for an image within another too, as those of an icon, of which the file may state
    another size. Whatever a decoder raises becomes one sentence: the file and the reason.

    Raises:
        UsageError: if it cannot be decoded.
    """
    from PIL import Image

    former = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = max_pixels / 2  # type: ignore[assignment]  # it raises above twice that
    try:
        with warnings.catch_warnings(), open_regular(path) as file:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # of more than that
            yield file
    except Unreadable:
        raise
    except Ambiguous as error:
        raise Ambiguous(f"{shown(path)} {error}") from None
    except Image.DecompressionBombError as error:
        number = re.findall(r"\d+", str(error))[0]
        raise too_large(path, int(number), max_pixels) from None
    except Exception as error:  # decoders raise many kinds
        wrong = f"{shown(path)} cannot be read as an image ({reason(path, error)})"
        raise Unreadable(wrong) from error
    finally:
        Image.MAX_IMAGE_PIXELS = former


def shown(path: Path) -> str:
    """A file's path in a sentence, which is one line whatever the path holds."""
    return printable(str(path), 2**12)


def reason(path: Path, error: Exception) -> str:
    """Why a file cannot be decoded."""
    from PIL import UnidentifiedImageError

    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, UsageError):
        return str(error).replace(str(path), "it").rstrip(".")
    try:
        with open_regular(path) as file:
            head = file.read(HEAD)
    except OSError:
        head = b"?"
    if what := "an empty file" if not head else foreign(head):
        return what
    if isinstance(error, UnidentifiedImageError):
        return "its header is damaged" if READ.match(head) else "of no known format"
    return printable(" ".join(str(error).split()), 160).rstrip(".") or type(error).__name__


def count_frames(path: Path, max_pixels: int) -> int:
    """Return how many frames or pages an image file holds.

    Raises:
        UsageError: if it cannot be read.
    """
    from PIL import Image

    with opened(path, max_pixels) as file:
        if pages := tiff_pages(file):
            return len(pages)
        with Image.open(file, formats=formats()) as image:
            return frames_of(image)


def frames_of(image: Any) -> int:
    """Count the frames; other pictures of the scene, or layers of this one, are none."""
    return 1 if image.format in ("MPO", "PSD") else getattr(image, "n_frames", 1)


def decoded(
    path: Path,
    file: BinaryIO,
    frame: int | None,
    draft: tuple[str, tuple[int, int]] | None,
    max_pixels: int,
) -> Any:
    """Return one frame of an open image file: an image of Pillow's, to be read first, or `Pixels`.

    Args:
        path: its path, for the sentence.
        frame: which one; if None, there must be only one.
        draft: the mode and the least size that are wanted, with which JPEGs decode faster.
        max_pixels: how many pixels it may have.

    Raises:
        UsageError: if it cannot be decoded truly.
    """
    from PIL import Image, UnidentifiedImageError

    pages = tiff_pages(file)
    if pages:
        require_one(len(pages), frame)
        page = pages[frame or 0]
        require_size(path, page.width, page.height, max_pixels)
        if not page.plain:
            return page.read(file)
        frame = page.place
    file.seek(0)
    try:
        image = Image.open(file, formats=formats())
    except UnidentifiedImageError:
        if not pages:
            raise
        return page.read(file)  # such as JPEG 2000 in TIFF
    if image.format == "FITS":
        raise UnidentifiedImageError  # `FOREIGN` has the reason
    if not pages and frame is None:
        require_one(frames_of(image), frame)
    if frame:
        image.seek(frame)  # to one of another size, perhaps
    require_size(path, *image.size, max_pixels)
    if (deep := deep_pixels(file, image)) is not None:
        return deep
    if draft is not None:
        image.draft(*draft)
    return image


def require_one(number: int, frame: int | None) -> None:
    """Refuse several frames if none of them was chosen."""
    if frame is None and number > 1:
        raise Ambiguous(
            f"holds {number} frames: set data.frames to first, or to all to make each an example."
        )


def require_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    """Refuse an image of too many pixels before it is decoded."""
    if width * height > max_pixels:
        raise too_large(path, width * height, max_pixels)


def too_large(path: Path, number: int, max_pixels: int) -> Unreadable:
    """The error that tells of an image of too many pixels."""
    wrong = f"{shown(path)} has {number:,} pixels, and data.max_pixels is {max_pixels:,}"
    return Unreadable(wrong, "raise it, scale the image down")


def deep_pixels(file: BinaryIO, image: Any) -> Pixels | None:
    """Decode what has more than 8 bits a value; return None if Pillow loses nothing.

    Raises:
        ValueError: if that is impossible.
    """
    if image.format in ("JPEG", "MPO"):  # of 8 bits always
        return None
    described = str([(tile[0], tile[3]) for tile in image.tile])  # what decoders are told
    if image.format == "PNG":
        if ";16" in described:
            return png_of_16_bits(file, image)
        scale_clear(image, described)
    if image.mode.startswith("I;16"):
        return Pixels(upright(np.asarray(image)[..., None], image), (0, 2**16 - 1))
    if image.mode == "I":  # Pillow brings any greatest value of a PGM to 65535
        span = (0, 2**16 - 1) if image.format == "PPM" else (-(2**31), 2**31 - 1)
        return Pixels(upright(np.asarray(image)[..., None], image), span)
    if image.mode == "F":
        return Pixels(upright(np.asarray(image)[..., None], image), None)
    found = re.search(r"'ppm', \('\w+', (\d+)\)", described)
    deeper = ";16" in described or "SGI16" in described or (found and int(found[1]) > 255)
    bits = {"JPEG2000": bits_of_jpeg2000, "AVIF": bits_of_avif}.get(image.format)
    if deeper or (bits is not None and bits(file) > 8):
        raise ValueError("its colours have more than 8 bits, and are read from PNG and TIFF only")
    return None


def png_of_16_bits(file: BinaryIO, image: Any) -> Pixels:
    """Decode a PNG of 16 bits, which Pillow would reduce to 8."""
    from torchvision.io import ImageReadMode, decode_png

    if image.tell():
        raise ValueError("its frames have more than 8 bits, and only the first can be read")
    file.seek(0)
    data = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8)
    values = decode_png(data, ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy()
    opacity = values.shape[2] in (2, 4)
    clear = image.info.get("transparency")  # a colour that stands for no opacity
    if clear is not None and not opacity:
        alpha = np.where((values == clear).all(2, keepdims=True), 0, 2**16 - 1)
        values, opacity = np.concatenate([values, alpha.astype(np.uint16)], 2), True
    return Pixels(upright(values, image), (0, 2**16 - 1), opacity=opacity)


def scale_clear(image: Any, described: str) -> None:
    """Bring the grey of a PNG that stands for no opacity to 8 bits, as Pillow does its pixels."""
    found, clear = re.search(r"'(?:L;)?([124])'", described), image.info.get("transparency")
    if found and isinstance(clear, int) and clear < (levels := 2 ** int(found[1])):
        image.info["transparency"] = clear * 255 // (levels - 1)


def bits_of_jpeg2000(file: BinaryIO) -> int:
    """Return how many bits a JPEG 2000 image's deepest channel has."""
    head = box(file, b"jp2c", 2**16)  # begins with the image's own description
    if not head.startswith(b"\xff\x4f\xff\x51"):
        return 8
    return max((depth & 0x7F) + 1 for depth in head[42 : 42 + 3 * (head[41] + 256 * head[40]) : 3])


def bits_of_avif(file: BinaryIO) -> int:
    """Return 8, or 10 if some channel of an AVIF image has more bits than 8."""
    meta = box(file, b"meta", 2**20)
    return 10 if any(head[2] & 0x40 for head in re.findall(b"av1C(.{4})", meta, re.DOTALL)) else 8


def box(file: BinaryIO, kind: bytes, most: int) -> bytes:
    """Return what begins a box of an ISO file; all of a file that holds no boxes, or b""."""
    file.seek(0)
    if (head := file.read(8)).startswith(b"\xff\x4f"):
        return head + file.read(most)
    while len(head) == 8:
        size, skipped = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, skipped = int.from_bytes(file.read(8), "big"), 16
        if head[4:] == kind:
            return file.read(min(most, size - skipped) if size else most)
        if size < skipped:
            return b""
        file.seek(size - skipped, os.SEEK_CUR)
        head = file.read(8)
    return b""


def upright(values: NDArray[Any], image: Any) -> NDArray[Any]:
    """Turn pixels (H, W, C) as a file's EXIF orientation says."""
    return oriented(values, image.getexif().get(0x0112, 1))
