"""Compile encoder and decoder with torch.compile, except where derivatives are taken of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn

from ae_lightning.core.errors import UsageError
from ae_lightning.training.private import compiled_call, set_compiled_call


class Compilation(Callback):
    """Compile encoder and decoder, each on its own, at the start of `fit`.

    The weights stay the same, and so does what a checkpoint holds. Penalties and pictures call both
    uncompiled, since `torch.compile` cannot differentiate a derivative.

    Args:
        backend: the backend of torch.compile.

    Raises:
        UsageError: if the model is sharded.
    """

    def __init__(self, backend: str = "inductor") -> None:
        self.backend = backend

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if isinstance(trainer.strategy, ModelParallelStrategy):
            raise UsageError("a sharded model is not compiled: leave out either compile or fsdp.")
        for network in networks(pl_module):
            network.compile(backend=self.backend)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for network in networks(pl_module):
            set_compiled_call(network, None)


def networks(model: Any) -> list[nn.Module]:
    """Return what is compiled of a model."""
    return [model.encoder, model.decoder]


@contextmanager
def uncompiled(model: Any) -> Iterator[None]:
    """Call encoder and decoder as they are written, so that derivatives can be taken of them."""
    compiled = [(network, compiled_call(network)) for network in networks(model)]
    for network, _ in compiled:
        set_compiled_call(network, None)
    try:
        yield
    finally:
        for network, call in compiled:
            set_compiled_call(network, call)
