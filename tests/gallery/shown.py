"""Which pictures README and docs show, and by which command each is made."""

import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = "callbacks/gallery"
COMMAND: Final = "Command"  # the name of a PNG's text that holds the command
HEAVIEST: Final = 150_000  # bytes of a picture
IMAGE: Final = re.compile(rf"{FOLDER}/(\w+)\.png")
TRAINING: Final = re.compile(r"ae-lightning (fit --config[^<\n#`]*)")


class Shown(NamedTuple):
    """A picture on a page."""

    name: str  # of the picture and of its file
    command: str  # the words after `ae-lightning`

    @property
    def file(self) -> Path:
        return ROOT / FOLDER / f"{self.name}.png"

    @property
    def words(self) -> list[str]:
        return shlex.split(self.command)


def pages() -> list[Path]:
    """The README, and everything in docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def shown(texts: Iterable[str] | None = None) -> list[Shown]:
    """Every picture of the gallery on these pages, with the first command below it.

    Raises:
        LookupError: if a picture has none before the next picture begins.

    >>> shown(["![Codes](callbacks/gallery/codes.png)\\n    ae-lightning fit --config vae"])
    [Shown(name='codes', command='fit --config vae')]
    """
    found = []
    for text in (page.read_text() for page in pages()) if texts is None else texts:
        images = [*IMAGE.finditer(text)]
        ends = [*(image.start() for image in images[1:]), len(text)]
        for image, end in zip(images, ends, strict=False):
            command = TRAINING.search(text, image.end(), end)
            if command is None:
                raise LookupError(f"no command stands below {image[0]}")
            found.append(Shown(image[1], command[1].strip()))
    return found
