"""One page of a run: what it reached, its curves and pictures, and how it was made."""

import re
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from io import BytesIO
from os.path import lexists
from pathlib import Path
from typing import Any, Final, TypeVar

from yaml import YAMLError

from ae_lightning.core.errors import UsageError
from ae_lightning.core.files import open_regular, path_of, read_text, write_text
from ae_lightning.core.untrusted import inside
from ae_lightning.core.yaml_text import load_yaml
from ae_lightning.training.run_directory import CONFIG, PAGE, PICTURES

from .about import about
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
    run: Path,
    title: str,
    config: str | None = None,
    history: History | None = None,
    captions: Mapping[str, str] | None = None,
    missing: Mapping[str, str] | None = None,
) -> Path:
    """Write index.html: the newest of each picture in a run directory, its metrics and config.

    A picture or a config that cannot be read is left out, with a warning.

    Args:
        run: the directory; its pictures lie in pictures/NAME/STEP.png.
        title: what the page is about.
        config: its text; that of config.yaml if None.
        history: the metrics; those of metrics.csv if None.
        captions: how to read pictures, by name; those of their classes if not given.
        missing: why pictures are not there, by name, each in one sentence.

    Returns:
        the page's path.
    """
    run = path_of(run, "run")
    if config is None and lexists(run / CONFIG):
        config = read(lambda: read_text(run / CONFIG, LONGEST_CONFIG), CONFIG)
    history = read_history(run) if history is None else history
    newest, missing = newest_pictures(run), dict(missing or {})
    said = {n: kind.caption for n, kind in known_pictures().items()} | dict(captions or {})
    page = fill(
        "run.html.jinja",
        title=title,
        about=about(run, settings(config), history),
        step=max([*newest.values(), *(points[-1][0] for points in history.values())], default=0),
        cards=_cards(history, sparse="l0_error" in newest),
        pictures=[
            shown
            for name in in_page_order({*newest, *missing})
            if (shown := _shown(run, name, newest.get(name), said.get(name, ""), missing.get(name)))
        ],
        history=dict(sorted(history.items(), key=lambda item: natural(item[0]))),
        config=config,
    )
    write_text(run / PAGE, page)
    return run / PAGE


def settings(config: str | None) -> dict[str, Any]:
    """A config's settings, or none if its text cannot be read as such."""
    with suppress(YAMLError, UsageError):
        tree = load_yaml(config or "")
        return tree if isinstance(tree, dict) else {}
    return {}


def natural(name: str) -> list[tuple[bool, int, str]]:
    """What to sort names by, so that a number counts as one.

    >>> sorted(["rate_10", "rate_9", "loss"], key=natural)
    ['loss', 'rate_9', 'rate_10']
    """
    pieces = re.split(r"(\d{1,18})", name)
    return [(p.isdecimal(), int(p) if p.isdecimal() else 0, p) for p in pieces]


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


def _shown(
    run: Path, name: str, step: int | None, caption: str, missing: str | None
) -> dict[str, Any] | None:
    """What the template needs of one picture, or of why it is not there; None if it is unreadable.

    Args:
        step: that of its newest file, which an error may have kept from being drawn anew.
    """
    heading = name.replace("_", " ").replace("kl ", "KL ").replace("l0 ", "L0 ")
    shown = {"name": name, "heading": heading[:1].upper() + heading[1:]}
    if missing is not None or step is None:
        return shown | {"missing": missing, "images": []}
    paths = [f"{PICTURES}/{name}/{step}{kind}" for kind in (".png", ".gif")]
    found = [path for path in paths if lexists(run / path)]
    images = [read(partial(_image, run, path), path) for path in found]
    return None if None in images else shown | {"caption": caption, "images": images}


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
        "zoomed": zoom > 1,
    }


def _cards(history: History, sparse: bool) -> list[tuple[str, str, str]]:
    """Label, value and unit of every figure on top of the page."""
    units = sum(re.fullmatch(r"val/rate_\d+", name) is not None for name in history)
    of = {"active_units": f"of {units}"} if units else {}
    return [
        (label, format(points[-1][1], digits).replace("-", "−"), of.get(name, unit))
        for name, (label, digits, unit) in CARDS.items()
        if (points := history.get(f"val/{name}")) and (sparse or name != "l0")
    ]
