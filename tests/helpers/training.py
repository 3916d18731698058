"""One quiet Trainer, and one way to train with it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch.utils.data import DataLoader

from ae_lightning.core.types import Pair

QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "log_every_n_steps": 1,
}


def quiet_trainer(folder: Path | None = None, **options: Any) -> Trainer:
    """A Trainer on the CPU that shows and writes nothing, unless options say otherwise."""
    return Trainer(default_root_dir=folder, **QUIET | options)


def loader(pairs: Iterable[Pair]) -> DataLoader[Pair]:
    """Pairs as a loader gives them: each is a batch."""
    return DataLoader(pairs, batch_size=None)  # type: ignore[arg-type]


def fit(
    model: LightningModule,
    data: LightningDataModule | Iterable[Pair],
    folder: Path | None = None,
    *,
    validation: Iterable[Pair] | None = None,
    resume: Path | None = None,
    **options: Any,
) -> Trainer:
    """Train a model on a data module, or on batches, which also validate it if no others do."""
    trainer = quiet_trainer(folder, **options)
    if isinstance(data, LightningDataModule):
        trainer.fit(model, datamodule=data, ckpt_path=resume, weights_only=True)
    else:
        trainer.fit(model, loader(data), loader(data if validation is None else validation))
    return trainer
