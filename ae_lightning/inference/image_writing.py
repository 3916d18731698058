"""Images as files: under their own name and in their own format, if it can hold them."""

from collections.abc import Container, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ae_lightning.core.errors import UsageError, printable
from ae_lightning.core.extras import require_packages
from ae_lightning.inference.tables import WRITERS

OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
}


def require_folder(out: Path) -> None:
    """Raise UsageError if a folder would bear a name that is one of a file.

    >>> require_folder(Path("copies"))
    """
    if out.suffix != ".npy" and out.suffix.lower() in (*formats(), *WRITERS, ".npy"):
        raise UsageError(f"out is {out}: expected the name of a folder, or of a .npy file.")


def write_image(folder: Path, name: str, x: NDArray[Any], deep: bool = False) -> Path:
    """Write one image (C, H, W), as `write_images` does, and return its path."""
    return write_images(folder, [name], x[None], deep)[0]


def write_images(
    folder: Path, names: Sequence[str], x: NDArray[Any], deep: bool = False
) -> list[Path]:
    """Write images below a folder, and return their paths.

    Colours and grey values of 8 bits keep the format that the name tells, or else become a PNG;
    what is deeper, or has other channels, becomes a TIFF of floats.

    Args:
        names: their paths below the folder, of which folders are made as needed.
        x: (B, C, H, W), in [0, 1].
        deep: whether the images that they belong to have more than 8 bits a value.

    Raises:
        UsageError: if a name leads out of the folder.
    """
    files = [file_below(folder, name) for name in names]
    for parent in {file.parent for file in files}:
        parent.mkdir(parents=True, exist_ok=True)
    if deep or x.shape[1] not in (1, 3):
        files = [as_named(file, (".tif", ".tiff"), ".tif") for file in files]
        return [write_floats(file, each) for file, each in zip(files, x, strict=True)]
    values = (x.clip(0, 1) * 255).round().astype(np.uint8)
    return [write_bytes(file, each) for file, each in zip(files, values, strict=True)]


def file_below(folder: Path, name: str) -> Path:
    """The file that a name leads to below a folder.

    Raises:
        UsageError: if it leads out of the folder.
    """
    # Whatever else a file system takes for a name, such as a colon, is one's own to choose.
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise UsageError(f"the data name {printable(repr(name), 80)}, which leads elsewhere.")
    return folder / name


def write_bytes(file: Path, x: NDArray[np.uint8]) -> Path:
    """Write an image of 8 bits (C, H, W), C being 1 or 3."""
    from PIL import Image

    image = Image.fromarray(x[0] if len(x) == 1 else np.ascontiguousarray(x.transpose(1, 2, 0)))
    file = as_named(file, formats(), ".png")
    kind = formats()[file.suffix.lower()]
    options = OPTIONS.get(kind, {})
    try:
        image.save(file, kind, **options)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        file.unlink(missing_ok=True)  # a format that takes no such image, such as XBM
        file = file.with_name(f"{file.name}.png")
        image.save(file, "PNG")
    return file


@cache
def formats() -> dict[str, str]:
    """Pillow's name of what can be written, by suffix."""
    from PIL import Image

    known = Image.registered_extensions()
    return {suffix: kind for suffix, kind in known.items() if kind in Image.SAVE}


def write_floats(file: Path, x: NDArray[Any]) -> Path:
    """Write an image of floats (C, H, W) as a TIFF."""
    require_packages("an image of more than 8 bits, or of bands,", "tiff", ["tifffile"])
    import tifffile

    values = x.astype(np.float32)
    if len(x) == 3:
        tifffile.imwrite(file, values.transpose(1, 2, 0), photometric="rgb")
    else:
        tifffile.imwrite(file, values[0] if len(x) == 1 else values, photometric="minisblack")
    return file


def as_named(file: Path, suffixes: Container[str], default: str) -> Path:
    """A file's own name if its suffix is one of these, or else with the default one added."""
    return file if file.suffix.lower() in suffixes else file.with_name(file.name + default)
