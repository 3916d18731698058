"""One page of a run: what it reached, its curves and pictures, and how it was made."""

from pathlib import Path
from typing import Any, Final

from ae_lightning.training.run_directory import CONFIG, PAGE

from ..picture import FOLDER
from .choosing import in_page_order, known_pictures
from .history import History, read_history
from .rendering import embedded, fill

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

    Args:
        run: the directory; its pictures lie in pictures/NAME/STEP.png.
        title: what the page is about.
        config: its text; that of config.yaml if None.
        history: the metrics; those of metrics.csv if None.

    Returns:
        the page's path.
    """
    if config is None and (run / CONFIG).exists():
        config = (run / CONFIG).read_text()
    history = read_history(run) if history is None else history
    newest = newest_pictures(run)
    page = fill(
        "run.html.jinja",
        title=title,
        step=max([*newest.values(), *(points[-1][0] for points in history.values())], default=0),
        cards=_cards(history, sparse="l0_error" in newest),
        pictures=[_shown(run, name, step) for name, step in newest.items()],
        history=history,
        config=config,
    )
    run.mkdir(parents=True, exist_ok=True)
    (run / PAGE).write_text(page, encoding="utf-8")
    return run / PAGE


def newest_pictures(run: Path) -> dict[str, int]:
    """The step of the newest of every picture in a run directory, in the order of a page."""
    files = [f for f in (run / FOLDER).glob("*/*.png") if f.stem.isdigit()]
    files.sort(key=lambda f: (f.stat().st_mtime_ns, int(f.stem)))
    steps = {file.parent.name: int(file.stem) for file in files}
    return {name: steps[name] for name in in_page_order(steps)}


def title_of(model: object, data: object) -> str:
    """What a page is about.

    >>> title_of(1, "x")
    'int on str'
    """
    on = "" if data is None else f" on {type(data).__name__}"
    return type(model).__name__ + on


def _shown(run: Path, name: str, step: int) -> dict[str, Any]:
    """What the template needs of one picture."""
    heading = name.replace("_", " ").replace("kl ", "KL ").replace("l0 ", "L0 ")
    stem, known = run / FOLDER / name / str(step), known_pictures()
    files = [p for p in (stem.with_suffix(".png"), stem.with_suffix(".gif")) if p.exists()]
    return {
        "name": name,
        "heading": heading[:1].upper() + heading[1:],
        "caption": known[name].caption if name in known else "",
        "images": [_image(file) for file in files],
    }


def _image(file: Path) -> dict[str, Any]:
    from PIL import Image

    with Image.open(file) as image:
        width, height = image.size
    zoom = max(1, 340 // width)  # small films are shown enlarged
    return {
        "source": embedded(file.read_bytes(), file.suffix[1:]),
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
