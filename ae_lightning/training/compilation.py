"""Compile the encoder and the decoder by torch.compile; nothing is differentiated through that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn

from ae_lightning.core.errors import UsageError


class Compilation(Callback):
    """Compile encoder and decoder, each for itself, at the start of `fit`.

    The weights, and what a checkpoint holds, are the same. Penalties and pictures call the maps
    uncompiled: `torch.compile` knows no derivative of a derivative.

    Args:
        backend: of torch.compile.

    Raises:
        UsageError: where the model is sharded.
    """

    def __init__(self, backend: str = "inductor") -> None:
        self.backend = backend

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if isinstance(trainer.strategy, ModelParallelStrategy):
            raise UsageError("a sharded model is not compiled: leave out compile, or fsdp.")
        for network in networks(pl_module):
            network.compile(backend=self.backend)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for network in networks(pl_module):
            network._compiled_call_impl = None


def networks(model: Any) -> list[nn.Module]:
    return [model.encoder, model.decoder]


@contextmanager
def uncompiled(model: Any) -> Iterator[None]:
    """Call encoder and decoder as they are written, so that their derivatives can be taken."""
    compiled = [(n, n._compiled_call_impl) for n in networks(model)]
    for network, _ in compiled:
        network._compiled_call_impl = None
    try:
        yield
    finally:
        for network, call in compiled:
            network._compiled_call_impl = call
