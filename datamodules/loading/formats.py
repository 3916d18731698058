"""Which formats of images are read, by their first bytes and by Pillow's names."""

import re
from pathlib import Path
from typing import Any, Final

from ae_lightning.core.files import open_regular

HEAD: Final = 132  # bytes, which tell a format
# What begins an image of a format that is not read, or what often bears an image's name: its
# first byte's place, its bytes, and what it is.
FOREIGN: Final = (
    (4, b"ftyp(heic|heix|heim|heis|hevc|mif1|msf1)", "HEIC, a format that is not read"),
    (128, b"DICM", "DICOM, a format that is not read"),
    (0, b"(\xff\x0a|\0\0\0\x0cJXL )", "JPEG XL, a format that is not read"),
    (0, b"v/1\x01", "OpenEXR, a format that is not read"),
    (0, rb"#\?(RADIANCE|RGBE)", "Radiance HDR, a format that is not read"),
    (0, b"SIMPLE  = ", "FITS, a format that is not read"),  # Pillow takes its bytes in wrong order
)
OTHERS: Final = (
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the image itself"),
    (0, rb"\s*<", "text, such as HTML or SVG"),
    (0, b"%PDF", "a PDF document"),
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"\x93NUMPY", "an array of NumPy's, which NumpyFile reads"),
)
# What Pillow knows, and cannot draw, or only by another program, which runs what is in the file.
STUBS: Final = ("BUFR", "GRIB", "HDF5", "WMF", "MPEG", "EPS")
READ: Final = re.compile(
    rb"\xff\xd8\xff|\x89PNG|GIF8|II[*+]\0|MM\0[*+]|RIFF....WEBP|....ftypavi[fs]", re.DOTALL
)


def foreign(head: bytes, kinds: Any = FOREIGN + OTHERS) -> str | None:
    """Say what begins so, if it is known and not read."""
    return next((what for at, mark, what in kinds if re.match(mark, head[at:])), None)


def begins_an_image(path: Path) -> bool:
    """Whether a file without an image's suffix is an image, by its first bytes."""
    with open_regular(path) as file:
        head = file.read(HEAD)
    return READ.match(head) is not None or foreign(head, FOREIGN) is not None


def formats() -> tuple[str, ...]:
    """The formats that are read, by Pillow's names, in the order in which it tries them."""
    from PIL import Image

    Image.init()
    return tuple(name for name in Image.ID if name not in STUBS)
