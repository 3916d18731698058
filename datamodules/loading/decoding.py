"""Decode image files by their own description: nothing wrapped, clipped or reduced unsaid."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import torch
from numpy.typing import NDArray

from ae_lightning.core.errors import UsageError, printable
from ae_lightning.core.files import open_regular

from .pixels import Ambiguous, Pixels, oriented
from .tiff import tiff_pages

HEAD: Final = 132  # bytes, which tell a format
# What begins an image of a format that is not read, or what often bears an image's name: its
# first byte's place, its bytes, and what it is.
FOREIGN: Final = (
    (4, b"ftyp(heic|heix|heim|heis|hevc|mif1|msf1)", "HEIC, a format that is not read"),
    (128, b"DICM", "DICOM, a format that is not read"),
    (0, b"(\xff\x0a|\0\0\0\x0cJXL )", "JPEG XL, a format that is not read"),
    (0, b"v/1\x01", "OpenEXR, a format that is not read"),
    (0, rb"#\?(RADIANCE|RGBE)", "Radiance HDR, a format that is not read"),
)
OTHERS: Final = (
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the image itself"),
    (0, rb"\s*<", "text, such as HTML or SVG"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x93NUMPY", "an array of NumPy's, which NumpyFile reads"),
)
READ: Final = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|II[*+]\0|MM\0[*+]|RIFF....WEBP|....ftypavi[fs]", re.DOTALL
)


class Unreadable(UsageError):
    """A file is damaged, or not an image of a format that is read.

    Args:
        wrong: the file, and what is wrong with it.
        cure: what to do about it.
    """

    def __init__(self, wrong: str, cure: str = "replace or remove it") -> None:
        super().__init__(f"{wrong}: {cure}, or set data.unreadable to skip.")
        self.wrong = wrong


def foreign(head: bytes, kinds: Any = FOREIGN + OTHERS) -> str | None:
    """Say what begins so, if it is known and not read."""
    return next((what for at, mark, what in kinds if re.match(mark, head[at:])), None)


def begins_an_image(path: Path) -> bool:
    """Whether a file without an image's suffix is an image, by its first bytes."""
    with open_regular(path) as file:
        head = file.read(HEAD)
    return READ.match(head) is not None or foreign(head, FOREIGN) is not None


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open an image file to decode it, with `max_pixels` in the place of Pillow's own limit.

    Whatever a decoder raises becomes one sentence that names the file and the reason.

    Raises:
        UsageError: if it cannot be decoded.
    """
    from PIL import Image

    former, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with open_regular(path) as file:
            yield file
    except Unreadable:
        raise
    except Ambiguous as error:
        raise Ambiguous(f"{path} {error}") from None
    except Exception as error:  # decoders raise many kinds
        wrong = f"{path} cannot be read as an image ({reason(path, error)})"
        raise Unreadable(wrong) from error
    finally:
        Image.MAX_IMAGE_PIXELS = former


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


def count_frames(path: Path) -> int:
    """Return how many frames or pages an image file holds.

    Raises:
        UsageError: if it cannot be read.
    """
    from PIL import Image

    with opened(path) as file:
        if pages := tiff_pages(file):
            return len(pages)
        with Image.open(file) as image:
            return frames_of(image)


def frames_of(image: Any) -> int:
    """Count the frames; a phone's photograph may carry other pictures of the scene behind it."""
    return 1 if image.format == "MPO" else getattr(image, "n_frames", 1)


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
    from PIL import Image

    pages = tiff_pages(file)
    if pages:
        require_one(len(pages), frame)
        page = pages[frame or 0]
        require_size(path, page.width, page.height, max_pixels)
        if not page.plain:
            return page.read(file)
        frame = page.place
    file.seek(0)
    image = Image.open(file)
    require_size(path, *image.size, max_pixels)
    if not pages:
        require_one(frames_of(image), frame)
    if frame:
        image.seek(frame)
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
        size = f"{path} has {width:,} × {height:,} pixels, and data.max_pixels is {max_pixels:,}"
        raise Unreadable(size, "raise it, scale the image down")


def deep_pixels(file: BinaryIO, image: Any) -> Pixels | None:
    """Decode what has more than 8 bits a value; return None if Pillow loses nothing.

    Raises:
        ValueError: if that is impossible.
    """
    if image.format in ("JPEG", "MPO"):  # of 8 bits always
        return None
    described = str([(tile[0], tile[3]) for tile in image.tile])  # what decoders are told
    if image.format == "PNG":
        return png_of_16_bits(file, image) if ";16" in described else None
    if image.mode.startswith("I;16"):
        return Pixels(upright(np.asarray(image)[..., None], image), (0, 2**16 - 1))
    if image.mode == "I":  # Pillow brings any greatest value of a PGM to 65535
        span = (0, 2**16 - 1) if image.format == "PPM" else (-(2**31), 2**31 - 1)
        return Pixels(upright(np.asarray(image)[..., None], image), span)
    if image.mode == "F":
        return Pixels(upright(np.asarray(image)[..., None], image), None)
    found = re.search(r"'ppm', \('\w+', (\d+)\)", described)
    deeper = ";16" in described or "SGI16" in described or (found and int(found[1]) > 255)
    if deeper or (image.format == "JPEG2000" and bits_of_jpeg2000(file) > 8):
        raise ValueError("its colours have more than 8 bits, and are read from PNG and TIFF only")
    return None


def png_of_16_bits(file: BinaryIO, image: Any) -> Pixels:
    """Decode a PNG of 16 bits, which Pillow would reduce to 8."""
    from torchvision.io import ImageReadMode, decode_png

    file.seek(0)
    data = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8)
    values = decode_png(data, ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy()
    opacity = values.shape[2] in (2, 4)
    clear = image.info.get("transparency")  # a colour that stands for no opacity
    if clear is not None and not opacity:
        alpha = np.where((values == clear).all(2, keepdims=True), 0, 2**16 - 1)
        values, opacity = np.concatenate([values, alpha.astype(np.uint16)], 2), True
    return Pixels(upright(values, image), (0, 2**16 - 1), opacity=opacity)


def bits_of_jpeg2000(file: BinaryIO) -> int:
    """Return how many bits a JPEG 2000 image's first channel has."""
    file.seek(0)
    head = file.read(2**12)
    size = head.find(b"\xff\x4f\xff\x51")  # begins the image's own description
    return (head[size + 42] & 0x7F) + 1 if 0 <= size < len(head) - 42 else 8


def upright(values: NDArray[Any], image: Any) -> NDArray[Any]:
    """Turn pixels (H, W, C) as a file's EXIF orientation says."""
    return oriented(values, image.getexif().get(0x0112, 1))
