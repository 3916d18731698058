"""One page of a run: what it reached, its curves and pictures, and how it was made."""

from __future__ import annotations

import base64
import html
import math
import time
import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from ae_lightning.core.errors import UsageError, nearest
from ae_lightning.training.sharding import whole_model

from ..picture import FOLDER, PictureCallback, data_of
from .history import History, read_history
from .page import PAGE

NAME: Final = "index.html"
CONFIG: Final = "config.yaml"
PATIENCE: Final = 2.0  # seconds that an interrupted run draws for

# The order of a page; others follow by name.
ORDER: Final = (
    *("curves", "reconstructions", "prior_samples", "latent_traversal", "latent_manifold"),
    *("interpolation", "codes", "kl_per_dimension", "score_field", "tangent_directions"),
    *("jacobian_spectrum", "contraction_curve", "filters", "activation_histogram", "l0_error"),
)

# What a page shows first of the last validation: names, digits and units.
FIGURES: Final = {
    "elbo": ("ELBO", ".2f", "nats"),
    "distortion": ("distortion", ".2f", "nats"),
    "rate": ("rate", ".2f", "nats"),
    "active_units": ("active units", ".0f", ""),
    "l0": ("L0", ".1f", "active units an example"),
    "mse": ("mean squared error", ".4g", "a value"),
    "psnr": ("PSNR", ".2f", "dB"),
    "ssim": ("SSIM", ".3f", ""),
}


def known_pictures() -> dict[str, type[PictureCallback]]:
    """Every picture of this package by name, in the order of a page."""
    package = vars(import_module("ae_lightning.callbacks"))
    found = {
        kind.name: kind
        for kind in package.values()
        if isinstance(kind, type) and issubclass(kind, PictureCallback) and hasattr(kind, "name")
    }
    first = [name for name in ORDER if name in found]
    return {name: found[name] for name in (*first, *sorted(found.keys() - set(first)))}


def named(names: Sequence[str]) -> list[PictureCallback]:
    """The pictures of these names, with their defaults or with arguments: NAME:ARGUMENT=VALUE:….

    Values are written as in YAML, as in latent_traversal:animated=true:dims=[0,3].

    Raises:
        UsageError: where there is no picture of a name, or it does not take an argument or value.
    """
    known = known_pictures()
    made = []
    for text in names:
        name, *arguments = text.split(":")
        if name not in known:
            raise UsageError(f"there is no picture {name}: {nearest(name, known)}")
        made.append(_made(known[name], arguments) if arguments else known[name]())
    return made


def _made(kind: type[PictureCallback], arguments: Sequence[str]) -> PictureCallback:
    import yaml
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    taken = [name.removeprefix("made.") for name in parser.add_class_arguments(kind, "made")]
    given: dict[str, Any] = {}
    for text in arguments:
        argument, equals, value = text.partition("=")
        if argument not in taken:
            raise UsageError(f"{kind.name} takes no {argument}: {nearest(argument, taken)}")
        try:
            given[argument] = yaml.safe_load(value) if equals else True
            parser.parse_object({"made": given})
        except (yaml.YAMLError, ArgumentError):
            raise UsageError(f"{argument} of {kind.name} is {value}: no value for it.") from None
    picture: PictureCallback = parser.instantiate_classes(parser.parse_object({"made": given})).made
    return picture


def all_suitable(model: Any, data: Any, history: History | None = None) -> list[PictureCallback]:
    """The pictures that suit a model and its data, with their defaults."""
    pictures = named(list(known_pictures()))
    for picture in pictures:
        picture.history = history
    return [p for p in pictures if p.suits(model, data) is None]


class Report(Callback):
    """Draw every picture that suits the model, and end `fit` by writing them on a page, index.html.

    The page holds all of itself: curves, pictures with how to read them, metrics and the config. A
    run that is ended by Ctrl-C or SIGTERM gets it too, with the pictures that are quick to draw.
    What the trainer has been given as callbacks of their own is drawn as these say, and put on the
    page too.

    Args:
        names: which pictures to draw; all that suit, if None.
        every_n_epochs: how often to draw, in epochs; with 0, at the end of `fit` only.

    Raises:
        UsageError: where there is no picture of a name, or it does not suit the model or the data.
    """

    def __init__(self, names: Sequence[str] | None = None, every_n_epochs: int = 0) -> None:
        if names is not None:
            named(names)
        self.names, self.every_n_epochs = names, every_n_epochs
        self.pictures: list[PictureCallback] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        data = data_of(trainer)
        if self.names is None:
            found = all_suitable(pl_module, data)
        else:
            found = named(self.names)
            for picture in found:
                picture.setup(trainer, pl_module, stage)
        given = {type(c) for c in trainer.callbacks}  # type: ignore[attr-defined]
        self.pictures = [p for p in found if type(p) not in given]

    @rank_zero_only
    def _draw(self, trainer: Trainer, model: Any, patience: float = math.inf) -> None:
        """Draw all; with little patience, only what is quick, and until these seconds are over."""
        history, start = read_history(Path(trainer.default_root_dir)), time.monotonic()
        for picture in self.pictures:
            if patience < math.inf and (picture.slow or time.monotonic() - start > patience):
                continue
            picture.history = history
            if self.names is not None or picture.suits(model, data_of(trainer)) is None:
                picture.deliver(trainer, model)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._draw(trainer, whole_model(pl_module))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer, whole_model(pl_module))

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Where a signal ends training, write the page too, without keeping anyone waiting."""
        signalled = isinstance(exception, KeyboardInterrupt | SystemExit)
        if signalled and trainer.state.fn == "fit" and trainer.global_step > 0:
            self._draw(trainer, whole_model(pl_module), PATIENCE)
            self.on_fit_end(trainer, pl_module)

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        title = title_of(pl_module, trainer.datamodule)  # type: ignore[attr-defined]
        try:
            write_report(Path(trainer.default_root_dir), title)
        except Exception as error:
            warnings.warn(f"the page {NAME} is not written: {error}", stacklevel=2)


def title_of(model: Any, data: Any) -> str:
    """What a page is about.

    >>> title_of(1, "x")
    'int on str'
    """
    on = "" if data is None else f" on {type(data).__name__}"
    return type(model).__name__ + on


def write_report(
    run: Path, title: str, config: str | None = None, history: History | None = None
) -> Path:
    """Write index.html: the newest of each picture in a run directory, its metrics and config.

    Args:
        run: the directory; its pictures lie in pictures/NAME/STEP.png.
        title: what the page is about.
        config: its text; that of config.yaml, if None.
        history: the metrics; those of metrics.csv, if None.

    Returns:
        the page's path.
    """
    if config is None and (run / CONFIG).exists():
        config = (run / CONFIG).read_text()
    history = read_history(run) if history is None else history
    newest = newest_pictures(run)
    step = max([*newest.values(), *(points[-1][0] for points in history.values())], default=0)
    page = PAGE.substitute(
        title=html.escape(title),
        when=f"after {step:,} steps" if step else "",
        cards=_cards(history, sparse="l0_error" in newest),
        pictures="\n".join(_figure(run, name, at) for name, at in newest.items()),
        metrics=_metrics(history),
        config=_details("Config", f"<pre>{html.escape(config)}</pre>" if config else ""),
    )
    path = run / NAME
    run.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def newest_pictures(run: Path) -> dict[str, int]:
    """The step of the newest of every picture in a run directory, in the order of a page."""
    files = [f for f in (run / FOLDER).glob("*/*.png") if f.stem.isdigit()]
    files.sort(key=lambda f: (f.stat().st_mtime_ns, int(f.stem)))
    steps = {file.parent.name: int(file.stem) for file in files}
    first = [name for name in known_pictures() if name in steps]
    return {name: steps[name] for name in (*first, *sorted(steps.keys() - set(first)))}


def _figure(run: Path, name: str, step: int) -> str:
    known = known_pictures()
    stem = run / FOLDER / name / str(step)
    images = [p for p in (stem.with_suffix(".png"), stem.with_suffix(".gif")) if p.exists()]
    label = name.replace("_", " ").replace("kl ", "KL ").replace("l0 ", "L0 ")
    caption = html.escape(known[name].caption if name in known else "")
    shown = "".join(_image(path, label) for path in images)
    return (
        f'<section id="{html.escape(name)}"><h2>{html.escape(label[:1].upper() + label[1:])}</h2>'
        f'<figure><div class="picture">{shown}</div><figcaption>{caption}</figcaption></figure>'
        "</section>"
    )


def _image(path: Path, label: str) -> str:
    from PIL import Image

    with Image.open(path) as image:
        width, height = image.size
    kind, data = path.suffix[1:], base64.b64encode(path.read_bytes()).decode()
    # Letters stay legible down to this width; a narrower screen scrolls the picture alone.
    least = min(width, max(340, round(0.52 * width)))
    return (
        f'<img src="data:image/{kind};base64,{data}" alt="{html.escape(label)}" width="{width}" '
        f'height="{height}" style="min-width:{least}px">'
    )


def _cards(history: History, sparse: bool) -> str:
    cards = []
    for name, (label, digits, unit) in FIGURES.items():
        points = history.get(f"val/{name}")
        if points and (sparse or name != "l0"):
            value = format(points[-1][1], digits).replace("-", "−")
            cards.append(f"<div><dt>{label}</dt><dd>{value} <small>{unit}</small></dd></div>")
    return f'<dl class="cards">{"".join(cards)}</dl>' if cards else ""


def _metrics(history: History) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{points[-1][1]:.6g}</td><td>{points[-1][0]:,}</td></tr>"
        for name, points in sorted(history.items())
    )
    head = "<tr><th>metric</th><th>last value</th><th>step</th></tr>"
    return _details("All metrics", f"<table>{head}{rows}</table>" if rows else "")


def _details(summary: str, content: str) -> str:
    if not content:
        return ""
    return f"<details><summary>{summary}</summary>{content}</details>"
