"""A walk through the codes as files: strips, a film, or both."""

from pathlib import Path
from typing import Final

from torch import Tensor

from ae_lightning.callbacks.drawing.saving import gif, png
from ae_lightning.core.errors import UsageError, nearest
from ae_lightning.core.outputs import output_file, output_folder, output_path
from ae_lightning.core.printing import tell
from ae_lightning.inference.walks import Walk

SUFFIXES: Final = (".png", ".gif")
WIDTH: Final = 480  # of a film of small images, about
HEAVIEST: Final = 10_000_000  # bytes of a film


def walk_path(out: Path, force: bool) -> Path:
    """Return the path that a walk may be written to, before the work begins.

    Raises:
        UsageError: if something is there, or its suffix is of another kind of file.
    """
    path = output_path(out, force)
    if path.suffix and path.suffix not in SUFFIXES:
        raise UsageError(f"out is {path}: {nearest(path.suffix, SUFFIXES)}")
    return path


def write_walk(out: Path, walk: Walk, name: str) -> None:
    """Write a walk to a file, or as NAME.png and NAME.gif to a folder, and say where it lies.

    Raises:
        UsageError: if a film is asked for of what are no images.
    """
    found = {".png": png(walk.figure)}
    if walk.frames is not None:
        found[".gif"] = gif(enlarged(walk.frames), HEAVIEST)
    if not out.suffix:
        with output_folder(out) as folder:
            for suffix, content in found.items():
                (folder / name).with_suffix(suffix).write_bytes(content)
        tell(f"{out}: {' and '.join(f'{name}{suffix}' for suffix in found)}")
        return
    if out.suffix not in found:
        raise UsageError(f"out is {out}: the data are no images, and have no film; name a .png.")
    with output_file(out) as file:
        file.write(found[out.suffix])
    tell(out)


def enlarged(frames: Tensor) -> Tensor:
    """Repeat the pixels of small frames (T, C, H, W), a whole number of times."""
    times = max(1, round(WIDTH / frames.shape[3]))
    return frames.repeat_interleave(times, 2).repeat_interleave(times, 3)
