"""What every picture callback shares: when to draw, which examples, and where it goes."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.files import path_of, write_bytes
from ae_lightning.core.types import Pair
from ae_lightning.core.untrusted import inside
from ae_lightning.model import Model
from ae_lightning.training.run_directory import PICTURES
from ae_lightning.training.sharding import whole_model

from .drawing.examples import choose
from .drawing.observing import observing
from .drawing.saving import gif, hand_over, png
from .drawing.theme import Figure, house_style
from .report.history import History, read_history

Drawing = TypeVar("Drawing", bound=Callable[..., Figure])


def picture(draw: Drawing) -> Drawing:
    """Make a function of a model, its first argument, draw in the house style without a trace.

    See `observing`.
    """

    @wraps(draw)
    def drawn(model: Model, *args: Any, **kwargs: Any) -> Figure:
        with observing(model), house_style():
            figure = draw(model, *args, **kwargs)
            # One pass of the layout makes axes of equal scale, and their surroundings, too large.
            boxes = (a.get_aspect() != "auto" and a.get_adjustable() == "box" for a in figure.axes)
            if figure.get_layout_engine() is not None and any(boxes):
                figure.draw_without_rendering()
            return figure

    return cast(Drawing, drawn)


class PictureCallback(Callback, ABC):
    """Draw a picture every n epochs or steps, and at the end of `fit`.

    It is saved as pictures/NAME/STEP.png in the trainer's default_root_dir, and handed to every
    logger that takes images. It is drawn on rank zero only, leaves modes and random states as it
    found them, and never stops a run: if it fails, one warning says why.

    A picture is a pure function, decorated with `picture`, and a subclass that gives

    - `name`, also that of its folder, and `caption`, one or two sentences on how to read it, with
      `caption_of_vectors` if it reads otherwise for data that are no images;
    - `draw`, which calls the pure function;
    - `examples`, how many examples it is drawn of by default, and `fewest`, how many it needs;
    - `suits`, if it makes no sense for some models or data;
    - `slow`, if it may take seconds: an interrupted run does not wait for it;
    - `animate` and `measure`, if a film or a figure goes with it.

    Within these, `self.data` is the datamodule (None if there is none), and `self.history` the
    metrics logged so far: empty without a metrics.csv, None before training.

    Args:
        every_n_epochs: how often to draw, in epochs; if this and `every_n_steps` are 0, only at
            the end of `fit`.
        items: how many validation examples to draw of, chosen once by `seed`; the picture's own
            number if None.
        seed: what the choice of examples is a function of.
        every_n_steps: how often to draw, in optimizer steps.

    Raises:
        UsageError: if an argument is out of range; at the start of `fit`, if the picture does not
            suit the model or the data.
    """

    name: ClassVar[str]
    caption: ClassVar[str] = ""
    caption_of_vectors: ClassVar[str] = ""
    examples: ClassVar[int] = 10
    fewest: ClassVar[int] = 1
    slow: ClassVar[bool] = False

    def __init__(
        self,
        every_n_epochs: int = 0,
        items: int | None = None,
        seed: int = 0,
        every_n_steps: int = 0,
    ) -> None:
        items = self.examples if items is None else items
        if items < self.fewest or min(every_n_epochs, every_n_steps, seed) < 0:
            raise UsageError(
                f"items is {items}, every_n_epochs {every_n_epochs}, every_n_steps {every_n_steps} "
                f"and seed {seed}: expected items of at least {self.fewest}, and the others of at "
                "least 0."
            )
        self.every_n_epochs, self.every_n_steps = every_n_epochs, every_n_steps
        self.items, self.seed = items, seed
        self.data: Any = None
        self.history: History | None = None
        self.missing: str | None = None  # why it was not drawn the last time, as a page says it
        self._pair: Pair | None = None
        self._step = -1
        self._failed = False

    @abstractmethod
    def draw(self, model: Model, pair: Pair) -> Figure:
        """Return the picture of a model at fixed validation pairs, which are on its device."""

    def suits(self, model: Model, data: Any) -> str | None:
        """Say in one sentence why there is no such picture of this model and data, or None."""
        return None

    def animate(self, model: Model, pair: Pair) -> Tensor | None:
        """Return a film to write beside the picture, frames (N, C, H, W) in [0, 1], or None."""
        return None

    def measure(self, model: Model, pair: Pair) -> dict[str, float]:
        """Return figures by name, which are logged with the picture as val/NAME."""
        return {}

    def caption_for(self, model: Model) -> str:
        """How to read the picture of this model's kind of data."""
        vectors = self.caption_of_vectors and len(model.shape) != 3
        return self.caption_of_vectors if vectors else self.caption

    # -------------------------------------------------------------- on its own

    def picture(
        self, model: Model, data: Any, history: History | None = None, stem: Path | None = None
    ) -> Figure:
        """Draw a model on a datamodule; if `stem` is given, save to STEM.png and STEM.gif.

        Raises:
            UsageError: if the picture does not suit them.
        """
        self.data, self.history, self.missing = data, history or {}, None
        try:
            return self._drawn(model, data, None if stem is None else path_of(stem, "stem"))
        except Exception as error:
            self.missing = sentence(error)
            raise

    def _drawn(self, model: Model, data: Any, stem: Path | None) -> Figure:
        if (reason := self.suits(model, data)) is not None:
            raise UsageError(reason)
        if self._pair is None:
            self._pair = choose(data, self.items, self.seed)
        if (n := len(self._pair.x)) < self.fewest:
            raise UsageError(f"{self.name} needs {self.fewest} validation examples, of {n} here.")
        pair = self._pair.to(model.device)
        with observing(model), house_style():
            figure = self.draw(model, pair)
            if stem is not None:
                write_bytes(stem.with_suffix(".png"), png(figure))
                if (frames := self.animate(model, pair)) is not None:
                    write_bytes(stem.with_suffix(".gif"), gif(frames))
        return figure

    # ------------------------------------------------------------ during training

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            reason = self.suits(cast(Model, pl_module), trainer_data(trainer))
            if reason is not None:
                raise UsageError(reason)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        step = trainer.global_step  # 0 while the first gradients accumulate
        if self.every_n_steps and step > 0 and step % self.every_n_steps == 0:
            self.deliver(trainer, trained_model(pl_module))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self.deliver(trainer, trained_model(pl_module))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.deliver(trainer, trained_model(pl_module))

    @rank_zero_only
    def deliver(self, trainer: Trainer, model: Model) -> None:
        """Draw, unless this step is drawn already; save the files, and hand them to the loggers."""
        step, run = trainer.global_step, Path(trainer.default_root_dir)
        if step == self._step or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        self._step = step
        try:
            stem = inside(run, f"{PICTURES}/{self.name}/{step}", "a run")
            stem.with_suffix(".gif").unlink(missing_ok=True)
            self.picture(model, trainer_data(trainer), read_history(run), stem)
            assert self._pair is not None
            with observing(model):
                figures = self.measure(model, self._pair.to(model.device))
            for logger in trainer.loggers:
                hand_over(logger, f"{PICTURES}/{self.name}", stem, step)
                if figures:
                    logger.log_metrics({f"val/{k}": v for k, v in figures.items()}, step)
        except Exception as error:
            if not self._failed:
                why = str(error) or type(error).__name__
                warnings.warn(f"the picture {self.name} is skipped: {why}", stacklevel=2)
            self._failed = True


def sentence(error: Exception) -> str:
    """Why a picture is missing, for its reader."""
    if isinstance(error, UsageError):
        return str(error)
    return f"it could not be drawn, by a fault of the software (a {type(error).__name__})."


def trainer_data(trainer: Trainer) -> Any:
    """The trainer's datamodule, or its validation loader if it was given that alone."""
    return trainer.datamodule or trainer.val_dataloaders  # type: ignore[attr-defined]


def trained_model(pl_module: LightningModule) -> Model:
    """The model in training; if it is sharded, a whole copy, which rank zero alone may use."""
    return cast(Model, whole_model(pl_module))
