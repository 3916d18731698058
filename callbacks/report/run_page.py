"""One page of a run: what it reached, its curves and pictures, and how it was made."""

import re
import warnings
from collections.abc import Callable
from functools import partial
from io import BytesIO
from os.path import lexists
from pathlib import Path
from typing import Any, Final, TypeVar

from ae_lightning.core.files import open_regular, path_of, read_text, write_text
from ae_lightning.core.untrusted import inside
from ae_lightning.training.run_directory import CONFIG, PAGE, PICTURES

from .choosing import in_page_order, known_pictures
from .history import History, read_history
from .rendering import embedded, fill

T = TypeVar("T")
LONGEST_CONFIG: Final = 10**6  # bytes
HEAVIEST_PICTURE: Final = 10**7
STEM: Final = re.compile(r"\d{1,18}", re.ASCII)  # the step of a picture
# What a page shows first of the last validation: names, digits and units.
CARDS: Final = {
    "elbo": ("ELBO", ".2f", "nats"),
    "distortion": ("distortion", ".2f", "nats"),
    "rate": ("rate", ".2f", "nats"),
    "active_units": ("active units", ".0f", ""),
    "l0": ("L0", ".1f", "active units per example"),
    "mse": ("mean squared error", ".4g", "per value"),
    "psnr": ("PSNR", ".2f", "dB"),
    "ssim": ("SSIM", ".3f", ""),
}


def write_report(
    run: Path, title: str, config: str | None = None, history: History | None = None
) -> Path:
    """Write index.html: the newest of each picture in a run directory, its metrics and config.

    A picture or a config that cannot be read is left out, with a warning.

    Args:
        run: the directory; its pictures lie in pictures/NAME/STEP.png.
        title: what the page is about.
        config: its text; that of config.yaml if None.
        history: the metrics; those of metrics.csv if None.

    Returns:
        the page's path.
    """
    run = path_of(run, "run")
    if config is None and lexists(run / CONFIG):
        config = read(lambda: read_text(run / CONFIG, LONGEST_CONFIG), CONFIG)
    history = read_history(run) if history is None else history
    newest = newest_pictures(run)
    page = fill(
        "run.html.jinja",
        title=title,
        step=max([*newest.values(), *(points[-1][0] for points in history.values())], default=0),
        cards=_cards(history, sparse="l0_error" in newest),
        pictures=[shown for name, step in newest.items() if (shown := _shown(run, name, step))],
        history=history,
        config=config,
    )
    write_text(run / PAGE, page)
    return run / PAGE


def read(reading: Callable[[], T], name: str) -> T | None:
    """Read something that a page shows; warn and return None if it cannot be read."""
    try:
        return reading()
    except Exception as error:  # Pillow raises many kinds on a file of another format
        warnings.warn(f"the page {PAGE} lacks {name}: {error}", stacklevel=3)
        return None


def newest_pictures(run: Path) -> dict[str, int]:
    """The step of the newest of every picture in a run directory, in the order of a page."""
    files = [f for f in (run / PICTURES).glob("*/*.png") if STEM.fullmatch(f.stem)]
    files.sort(key=lambda f: (f.lstat().st_mtime_ns, int(f.stem)))
    steps = {file.parent.name: int(file.stem) for file in files}
    return {name: steps[name] for name in in_page_order(steps)}


def title_of(model: object, data: object) -> str:
    """What a page is about.

    >>> title_of(1, "x")
    'int on str'
    """
    on = "" if data is None else f" on {type(data).__name__}"
    return type(model).__name__ + on


def _shown(run: Path, name: str, step: int) -> dict[str, Any] | None:
    """What the template needs of one picture; None if it cannot be read."""
    paths = [f"{PICTURES}/{name}/{step}{kind}" for kind in (".png", ".gif")]
    found = [path for path in paths if lexists(run / path)]
    images = [read(partial(_image, run, path), path) for path in found]
    if None in images:
        return None
    known = known_pictures()
    heading = name.replace("_", " ").replace("kl ", "KL ").replace("l0 ", "L0 ")
    return {
        "name": name,
        "heading": heading[:1].upper() + heading[1:],
        "caption": known[name].caption if name in known else "",
        "images": images,
    }


def _image(run: Path, path: str) -> dict[str, Any]:
    from PIL import Image

    file = inside(run, path, run)
    with open_regular(file, HEAVIEST_PICTURE) as opened:
        data = opened.read()
    with Image.open(BytesIO(data), formats=("PNG", "GIF")) as image:
        width, height = image.size
    zoom = max(1, 340 // width)  # small films are shown enlarged
    return {
        "source": embedded(data, file.suffix[1:]),
        "width": zoom * width,
        "height": zoom * height,
        "least": min(zoom * width, max(340, round(0.52 * width))),  # letters are still legible
        "zoomed": zoom > 1,
    }


def _cards(history: History, sparse: bool) -> list[tuple[str, str, str]]:
    """Label, value and unit of every figure on top of the page."""
    return [
        (label, format(points[-1][1], digits).replace("-", "−"), unit)
        for name, (label, digits, unit) in CARDS.items()
        if (points := history.get(f"val/{name}")) and (sparse or name != "l0")
    ]
