"""What every picture callback shares: when to draw, of what, without a trace, and where it goes."""

from __future__ import annotations

import random
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.training.compilation import uncompiled
from ae_lightning.training.sharding import whole_model

from .drawing.saving import pixels_of, png, write_gif
from .drawing.theme import house_style
from .report.history import History, read_history

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "pictures"  # in the run's directory: pictures/NAME/STEP.png

Draw = TypeVar("Draw", bound=Callable[..., "Figure"])


@contextmanager
def observing(model: LightningModule) -> Iterator[None]:
    """Evaluate a model without gradients, leaving its modes and all random states as they were.

    Inside, draws are the same at every call; torch.func's derivatives work.
    """
    modes = {module: module.training for module in model.modules()}
    devices = [model.device] if model.device.type == "cuda" else []
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with (
        torch.random.fork_rng(devices),
        torch.inference_mode(False),
        torch.no_grad(),
        uncompiled(model),
    ):
        try:
            torch.default_generator.manual_seed(0)
            for device in devices:
                torch.cuda.default_generators[device.index or 0].manual_seed(0)
            model.eval()
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
            for module, mode in modes.items():
                module.training = mode


def picture(draw: Draw) -> Draw:
    """Make a function of a model and tensors draw in the house style, and without a trace.

    The model is the first argument; see `observing`.
    """

    @wraps(draw)
    def drawn(model: Any, *args: Any, **kwargs: Any) -> Figure:
        with observing(model), house_style():
            figure = draw(model, *args, **kwargs)
            # One pass of the layout leaves axes of equal scale, and what is around them, too large.
            boxes = (a.get_aspect() != "auto" and a.get_adjustable() == "box" for a in figure.axes)
            if figure.get_layout_engine() is not None and any(boxes):
                figure.draw_without_rendering()
            return figure

    return cast(Draw, drawn)


class PictureCallback(Callback, ABC):
    """Draw a picture every n epochs or steps, and at the end of `fit`.

    It goes into pictures/NAME/STEP.png in the trainer's default_root_dir, and to every logger that
    takes images. It is drawn on rank zero only, leaves modes and random states as it found them,
    and never stops a run: where it fails, one warning says why.

    A picture is a pure function, decorated with `picture`, and a subclass that gives

    - `name`, which is also its folder's, and `caption`, one or two sentences on how to read it;
    - `draw`, which calls the pure function;
    - `suits`, where there are models or data it makes no sense for;
    - `slow`, where it may take seconds, so that an interrupted run does not wait for it;
    - `animate` and `measure`, where there is a film or a figure to go with it.

    Within these, `self.data` is the datamodule (None where there is none), and `self.history` the
    metrics logged so far: empty where no metrics.csv is written, None before training.

    Args:
        every_n_epochs: how often to draw, in epochs; with 0, and no `every_n_steps`, at the end of
            `fit` only.
        items: how many validation examples to draw of, chosen once by `seed`.
        seed: what the choice of examples is a function of.
        every_n_steps: how often to draw, in optimizer steps.

    Raises:
        UsageError: where an argument is out of range; at the start of `fit`, where the picture
            does not suit the model or the data.
    """

    name: ClassVar[str]
    caption: ClassVar[str] = ""
    slow: ClassVar[bool] = False

    def __init__(
        self, every_n_epochs: int = 0, items: int = 10, seed: int = 0, every_n_steps: int = 0
    ) -> None:
        if items < 1 or min(every_n_epochs, every_n_steps, seed) < 0:
            raise UsageError(
                f"items is {items}, every_n_epochs {every_n_epochs}, every_n_steps {every_n_steps} "
                f"and seed {seed}: expected items of at least 1, and the others of at least 0."
            )
        self.every_n_epochs, self.every_n_steps = every_n_epochs, every_n_steps
        self.items, self.seed = items, seed
        self.data: Any = None
        self.history: History | None = None
        self._pair: Pair | None = None
        self._step = -1
        self._failed = False

    @abstractmethod
    def draw(self, model: Any, pair: Pair) -> Figure:
        """Return the picture of a model at fixed validation pairs, which are on its device."""

    def suits(self, model: Any, data: Any) -> str | None:
        """Say in one sentence why there is no such picture of this model and data, or None."""
        return None

    def animate(self, model: Any, pair: Pair) -> Tensor | None:
        """Return a film to write beside the picture, frames (N, C, H, W) in [0, 1], or None."""
        return None

    def measure(self, model: Any, pair: Pair) -> dict[str, float]:
        """Return figures to log with the picture, as val/…, by name."""
        return {}

    # -------------------------------------------------------------- on its own

    def picture(
        self, model: Any, data: Any, history: History | None = None, stem: Path | None = None
    ) -> Figure:
        """Draw of a model and a datamodule; where `stem` is given, save to STEM.png and STEM.gif.

        Raises:
            UsageError: where the picture does not suit them.
        """
        self.data, self.history = data, history or {}
        if (reason := self.suits(model, data)) is not None:
            raise UsageError(reason)
        if self._pair is None:
            self._pair = choose(data, self.items, self.seed)
        pair = self._pair.to(model.device)
        with observing(model), house_style():
            figure = self.draw(model, pair)
            if stem is not None:
                stem.parent.mkdir(parents=True, exist_ok=True)
                stem.with_suffix(".png").write_bytes(png(figure))
                if (frames := self.animate(model, pair)) is not None:
                    write_gif(frames, stem.with_suffix(".gif"))
        return figure

    # ------------------------------------------------------------ during training

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and (reason := self.suits(pl_module, trainer_data(trainer))) is not None:
            raise UsageError(reason)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        step = trainer.global_step  # 0 while the first gradients accumulate
        if self.every_n_steps and step > 0 and step % self.every_n_steps == 0:
            self.deliver(trainer, whole_model(pl_module))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self.deliver(trainer, whole_model(pl_module))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.deliver(trainer, whole_model(pl_module))

    @rank_zero_only
    def deliver(self, trainer: Trainer, model: Any) -> None:
        """Draw, unless this step's is drawn; write the file, and hand it to the loggers."""
        step, run = trainer.global_step, Path(trainer.default_root_dir)
        if step == self._step or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        self._step = step
        stem = run / FOLDER / self.name / str(step)
        try:
            stem.with_suffix(".gif").unlink(missing_ok=True)
            self.picture(model, trainer_data(trainer), read_history(run), stem)
            assert self._pair is not None
            with observing(model):
                figures = self.measure(model, self._pair.to(model.device))
            for logger in trainer.loggers:
                hand_over(logger, f"{FOLDER}/{self.name}", stem, step)
                if figures:
                    logger.log_metrics({f"val/{k}": v for k, v in figures.items()}, step)
        except Exception as error:
            if not self._failed:
                why = str(error) or type(error).__name__
                warnings.warn(f"the picture {self.name} is left out: {why}", stacklevel=2)
            self._failed = True


def trainer_data(trainer: Trainer) -> Any:
    """The trainer's datamodule, or its validation loader where it was given that alone."""
    return trainer.datamodule or trainer.val_dataloaders  # type: ignore[attr-defined]


def choose(data: Any, items: int, seed: int = 0) -> Pair:
    """Choose validation pairs by seed, the same at every call; of a bare loader, the first ones.

    Raises:
        UsageError: where the data has no validation pairs.
    """
    if hasattr(data, "pairs"):
        data.setup()
        order = torch.randperm(len(data.sets["val"]), generator=torch.Generator().manual_seed(seed))
        return data.pairs("val", order[:items].tolist())  # type: ignore[no-any-return]
    found: list[Pair] = []
    for batch in () if data is None else data:
        found.append(batch)
        if sum(len(pair.x) for pair in found) >= items:
            break
    if not found or not isinstance(found[0], Pair):
        raise UsageError("a picture needs validation pairs: give a PairDataModule, or Pairs.")
    return Pair(*(torch.cat(tensors)[:items].cpu() for tensors in zip(*found, strict=True)))


def hand_over(logger: Any, key: str, stem: Path, step: int) -> None:
    """Give STEM.png, and STEM.gif where there is one, to a logger that takes images."""
    image, film = stem.with_suffix(".png"), stem.with_suffix(".gif")
    if hasattr(logger, "log_image"):  # Weights & Biases
        logger.log_image(key, [str(image)], step=step)
        if film.exists():
            logger.log_video(f"{key}_film", [str(film)], step=step, format=["gif"])
    elif hasattr(logger.experiment, "add_image"):  # TensorBoard
        logger.experiment.add_image(key, pixels_of(image), step, dataformats="HWC")
