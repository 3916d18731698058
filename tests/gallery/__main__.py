"""Remake every picture, or those named, and write into each the command that made it."""

import sys
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ae_lightning.cli.main import main
from ae_lightning.core.files import write_bytes
from gallery.shown import COMMAND, HEAVIEST, Shown, shown


def remake(one: Shown, run: Path) -> None:
    """Train as the command says, and keep the newest picture of the run."""
    if (code := main([*one.words, "--run", str(run)])) != 0:
        sys.exit(code)
    newest = max((run / "pictures" / one.name).glob("*.png"), key=lambda file: int(file.stem))
    keep(newest, one)


def keep(picture: Path, one: Shown) -> None:
    """Write a picture into the gallery, with its command."""
    (text := PngInfo()).add_text(COMMAND, one.command)
    with Image.open(picture) as image:
        image.save(file := BytesIO(), "png", pnginfo=text, optimize=True)
        if file.tell() > HEAVIEST:
            fewer = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
            fewer.save(file := BytesIO(), "png", pnginfo=text, optimize=True)
    write_bytes(one.file, file.getvalue())
    print(f"{one.file.name}: {one.command}", flush=True)


if __name__ == "__main__":
    named = set(sys.argv[1:])
    if unknown := named - {one.name for one in shown()}:
        sys.exit(f"no page shows {', '.join(sorted(unknown))}")
    for one in shown():
        if not named or one.name in named:
            with tempfile.TemporaryDirectory() as folder:
                remake(one, Path(folder) / one.name)
