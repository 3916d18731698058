"""What every picture callback shares: when to draw, of what, without a trace, and where it goes."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only

from ae_lightning.types import Pair

from .style import STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def observing(model: LightningModule) -> Iterator[None]:
    """Evaluate a model without gradients, leaving its modes and the random state as they were."""
    modes = {module: module.training for module in model.modules()}
    devices = [model.device] if model.device.type == "cuda" else []
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=devices):
            torch.manual_seed(0)
            model.eval()
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


class PictureCallback(Callback, ABC):
    """Draw a picture every n epochs and at the end of `fit`, into pictures/NAME/STEP.png.

    Works with every datamodule that has `pairs(split, index)`, on rank zero only; a picture that
    fails warns once and never stops a run.

    Args:
        every_n_epochs: how often to draw; 0 draws at the end of `fit` only.
        items: how many validation examples to draw of, fixed by `seed`.
    """

    name: ClassVar[str]

    def __init__(self, every_n_epochs: int = 0, items: int = 10, seed: int = 0) -> None:
        self.every_n_epochs, self.items, self.seed = every_n_epochs, items, seed
        self._failed = False

    @abstractmethod
    def draw(self, model: Any, pair: Pair) -> Figure:
        """Return the picture of a model at fixed validation pairs."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        due = self.every_n_epochs and (trainer.current_epoch + 1) % self.every_n_epochs == 0
        if due and trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._deliver(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._deliver(trainer, pl_module)

    @rank_zero_only
    def _deliver(self, trainer: Trainer, model: LightningModule) -> None:
        path = Path(trainer.default_root_dir, "pictures", self.name, f"{trainer.global_step}.png")
        if self._failed or path.exists() or trainer.fast_dev_run:
            return
        try:
            from matplotlib import rc_context

            with observing(model), rc_context(STYLE):
                figure = self.draw(model, self._pair(trainer).to(model.device))
                path.parent.mkdir(parents=True, exist_ok=True)
                figure.savefig(path)
        except Exception as error:
            self._failed = True
            warnings.warn(f"the picture {self.name} is left out: {error}", stacklevel=2)

    def _pair(self, trainer: Trainer) -> Pair:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        size = len(data.val_set)
        order = torch.randperm(size, generator=torch.Generator().manual_seed(self.seed))
        return data.pairs("val", order[: self.items].tolist())  # type: ignore[no-any-return]
