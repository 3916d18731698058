"""A progress bar that every notebook shows: without ipywidgets, rich's shows nothing there."""

import time
from typing import Any, Final

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar, RichProgressBar
from lightning.pytorch.trainer.states import TrainerFn
from markupsafe import escape
from rich import get_console

from ae_lightning.core.errors import printable
from ae_lightning.training.progress_bar import PER_SECOND, SparingProgressBar

REPLACED: Final = (
    RichProgressBar,
    SparingProgressBar,
)  # but no user's own


def suit_notebook(trainer: Trainer) -> None:
    """In a notebook, put a `NotebookBar` in the place of what shows nothing there."""
    if get_console().is_jupyter:
        bars: Any = trainer.callbacks  # type: ignore[attr-defined]
        bars[:] = [NotebookBar() if type(c) in REPLACED else c for c in bars]


class NotebookBar(ProgressBar):
    """One line for each training, validation, test or prediction, drawn twice a second."""

    def __init__(self) -> None:
        super().__init__()
        self.enabled = True
        self._first: float | None = None  # batch that was shown

    def enable(self) -> None:
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False

    # ------------------------------------------------------------ what is going on

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        super().setup(trainer, pl_module, stage)
        self._display: Any = None
        self._began, self._due, self._first, self._batches = time.monotonic(), 0.0, None, 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        per_epoch, epochs = trainer.num_training_batches, trainer.max_epochs or -1
        planned = per_epoch * epochs if epochs > 0 else float("inf")
        if trainer.max_steps > 0:
            planned = min(planned, trainer.max_steps * trainer.accumulate_grad_batches)
        done = trainer.current_epoch * per_epoch + batch_idx + 1
        of = f"/{epochs}" if epochs > 0 else ""
        self._show(f"Epoch {trainer.current_epoch + 1}{of}", done, planned)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw()

    def on_validation_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.state.fn == TrainerFn.VALIDATING:  # and not within fit
            self._show_next("Validation", self.total_val_batches)

    def on_test_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._show_next("Test", sum(trainer.num_test_batches))

    def on_predict_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self._show_next("Prediction", sum(trainer.num_predict_batches))

    # ------------------------------------------------------------------ how it looks

    def _show_next(self, what: str, planned: float) -> None:
        self._batches += 1
        self._show(what, self._batches, planned)

    def _show(self, what: str, done: float, planned: float) -> None:
        now = time.monotonic()
        self._first = done if self._first is None else self._first
        self._state = what, done, planned
        if now >= self._due or done >= planned:
            self._due = now + 1 / PER_SECOND
            self._draw()

    def _draw(self) -> None:
        """Draw the line, in place of the last one."""
        if not self.enabled or self._first is None:
            return
        from IPython.display import display

        what, done, planned = self._state
        took = time.monotonic() - self._began
        count, left, limits = f"{done:.0f}", "", ""
        if planned < float("inf"):
            count += f"/{planned:.0f}"
            limits = f' value="{done:.0f}" max="{planned:.0f}"'
            rest = took / (done - self._first + 1) * (planned - done)
            left = f", {rest:.0f} s left" * (rest > 0)
        figures = self.get_metrics(self.trainer, self.trainer.lightning_module)
        figures.pop("v_num", None)
        named = [f"{printable(k, 80)} {v:.4g}" for k, v in figures.items() if isinstance(v, float)]
        texts = [what, f"{count} batches in {took:.0f} s{left}", *named]
        bar = f'<progress{limits} style="width: 20em"></progress>'
        data = {
            "text/plain": ", ".join(texts),
            "text/html": " ".join([escape(texts[0]), bar, escape(", ".join(texts[1:]))]),
        }
        if self._display is None:
            self._display = display(data, raw=True, display_id=True)
        else:
            self._display.update(data, raw=True)
