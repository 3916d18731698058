"""The networks of experiments, and their training by a Trainer that prints and writes nothing."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch
from lightning.pytorch import Callback, Trainer
from torch.optim import Adam

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.datamodules import PairDataModule
from ae_lightning.nn import MLP
from ae_lightning.schedules import Cosine

Fitted = TypeVar("Fitted", bound=AutoEncoder)


def mlps(*widths: int, activation: str = "SiLU") -> dict[str, Any]:
    """Return a model's arguments for an encoder and a decoder with these hidden widths."""
    return {name: MLP(widths, activation) for name in ("encoder", "decoder")}


def adam(lr: float) -> dict[str, Any]:
    """Return a model's arguments for training by Adam, its rate falling to 0 along a cosine."""
    return {"optimizer": partial(Adam, lr=lr, fused=True), "lr_schedule": Cosine(1.0, 0.0)}


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings, and what the trainer says about the machine and its own defaults."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def fit(
    model: Fitted, data: PairDataModule, steps: int, *callbacks: Callback, double: bool = False
) -> Fitted:
    """Train a model for a number of steps, and return it frozen and in evaluation mode.

    As on the command line, the data's seed is the model's too; torch's random state is unchanged.

    Args:
        double: train in float64.
    """
    model.seed = data.seed
    with quiet(), torch.random.fork_rng(devices=[]):
        trainer = Trainer(
            max_steps=steps,
            accelerator="cpu",
            devices=1,
            precision="64-true" if double else "32-true",
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            limit_val_batches=0,
            log_every_n_steps=steps + 1,
        )
        trainer.fit(model, datamodule=data)
    model.freeze()
    return model
