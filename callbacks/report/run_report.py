"""The callback that draws all that suits a run, and writes its page."""

import math
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from ae_lightning.model import Model
from ae_lightning.training.checkpoint_writing import Checkpoints
from ae_lightning.training.run_directory import PAGE

from ..curves import Curves
from ..picture import PictureCallback, trained_model, trainer_data
from .choosing import judged, pictures_named
from .history import read_history
from .run_page import title_of, write_report

LATER: Final = "the run was interrupted, and did not wait for it: ae-lightning plot draws it."
DRAW_FOR: Final = 2.0  # seconds, when a run is interrupted


class Report(Callback):
    """Draw every picture that suits the model, and end `fit` by writing them on a page, index.html.

    The page is one self-contained file: curves, pictures with how to read them, metrics and the
    config. A run that Ctrl-C or SIGTERM ends gets a page too, with the pictures that are quick to
    draw. Pictures that the trainer has been given as callbacks of their own are drawn when these
    say so, and appear on the page too.

    Args:
        names: which pictures to draw; all that suit if None.
        every_n_epochs: how often to draw, in epochs; if 0, at the end of `fit` only.

    Raises:
        UsageError: if there is no picture of a name, or it does not suit the model or the data.
    """

    def __init__(self, names: Sequence[str] | None = None, every_n_epochs: int = 0) -> None:
        if names is not None:
            pictures_named(names)
        self.names, self.every_n_epochs = names, every_n_epochs
        self.pictures: list[PictureCallback] = []
        self._unsuitable: dict[str, str] = {}  # why a picture is not drawn, by name

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        if self.names is None:
            every = judged(cast(Model, pl_module), trainer_data(trainer))
            found = [picture for picture, reason in every if reason is None]
            self._unsuitable = {picture.name: reason for picture, reason in every if reason}
        else:
            found = pictures_named(self.names)
            for picture in found:
                picture.setup(trainer, pl_module, stage)
        given = {type(c) for c in trainer.callbacks}  # type: ignore[attr-defined]
        self.pictures = [p for p in found if type(p) not in given]
        for checkpoints in (c for c in trainer.callbacks if isinstance(c, Checkpoints)):  # type: ignore[attr-defined]
            for curves in (p for p in self.pictures if isinstance(p, Curves)):
                curves.monitor, curves.mode = checkpoints.monitor, checkpoints.mode or "min"

    @rank_zero_only
    def _draw(self, trainer: Trainer, model: Model, patience: float = math.inf) -> None:
        """Draw all; if patience is finite, only what is quick, and for that many seconds."""
        history, start = read_history(Path(trainer.default_root_dir)), time.monotonic()
        for picture in self.pictures:
            if patience < math.inf and (picture.slow or time.monotonic() - start > patience):
                picture.missing = LATER
                continue
            picture.history = history
            picture.missing = picture.suits(model, trainer_data(trainer))
            if self.names is not None or picture.missing is None:
                picture.deliver(trainer, model)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0:
            self._draw(trainer, trained_model(pl_module))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer, trained_model(pl_module))

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write the page too if a signal ends training, without keeping anyone waiting."""
        signalled = isinstance(exception, KeyboardInterrupt | SystemExit)
        if signalled and trainer.state.fn == "fit" and trainer.global_step > 0:
            self._draw(trainer, trained_model(pl_module), DRAW_FOR)
            self.on_fit_end(trainer, pl_module)

    @rank_zero_only
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        title = title_of(pl_module, trainer.datamodule)  # type: ignore[attr-defined]
        given = [c for c in trainer.callbacks if isinstance(c, PictureCallback)]  # type: ignore[attr-defined]
        pictures = [*self.pictures, *given]
        try:
            write_report(
                Path(trainer.default_root_dir),
                title,
                captions={p.name: p.caption_for(cast(Model, pl_module)) for p in pictures},
                missing=self._unsuitable | {p.name: p.missing for p in pictures if p.missing},
            )
        except Exception as error:
            warnings.warn(f"the page {PAGE} is not written: {error}", stacklevel=2)
