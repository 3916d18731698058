"""Lightning's finders of a batch size and a learning rate: run once, before a run is begun."""

from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder

from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import locate
from ae_lightning.training.private import prepare_finder

Finder = BatchSizeFinder | LearningRateFinder


def finders(trainer: Trainer) -> list[Finder]:
    """Return the finders among a trainer's callbacks; the learning rate depends on the batch."""
    found = [c for c in trainer.callbacks if isinstance(c, Finder)]  # type: ignore[attr-defined]
    return sorted(found, key=lambda finder: isinstance(finder, LearningRateFinder))


def makes_finder(setting: Any) -> bool:
    """Whether the setting of a callback makes a finder."""
    made = locate(setting.class_path)
    return isinstance(made, type) and issubclass(made, Finder)


def find(
    finder: Finder,
    model: LightningModule,
    data: LightningDataModule,
    make_trainer: Callable[..., Trainer],
) -> tuple[str, float | int]:
    """Let a finder try out a model and its data, which are of no use afterwards.

    Args:
        make_trainer: makes a trainer, with the given arguments in place of its own.

    Returns:
        the setting that it has tuned, by its place, and the value that it has found.

    Raises:
        UsageError: if it finds none, or cannot run.
    """
    name, sizes = type(finder).__name__, isinstance(finder, BatchSizeFinder)
    if (
        type(finder).on_fit_start
        is not (BatchSizeFinder, LearningRateFinder)[not sizes].on_fit_start
    ):
        raise UsageError(f"trainer.callbacks: {name} does not run once, when training starts.")
    place = prepare_finder(finder)
    with TemporaryDirectory() as folder:
        trainer = make_trainer(default_root_dir=folder, callbacks=[finder])
        if trainer.world_size > 1:
            raise UsageError(
                f"{name} runs in one process: add --trainer.devices 1 to find a value."
            )
        try:
            trainer.fit(model, datamodule=data)
        except MisconfigurationException as error:
            said = " ".join(str(error).split())
            raise UsageError(f"trainer.callbacks: {name}: {said}") from error
    if isinstance(finder, BatchSizeFinder):
        value: float | int | None = finder.optimal_batch_size
    else:
        value = finder.optimal_lr.suggestion() if finder.optimal_lr else None
    if value is None:
        raise UsageError(f"{name} has found no value: choose one, and leave {name} out.")
    return place, value
