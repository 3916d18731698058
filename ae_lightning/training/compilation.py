"""Compile encoder and decoder with torch.compile, except where derivatives are taken of them."""

from typing import Any, Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.strategies import ModelParallelStrategy

from ae_lightning.core.errors import UsageError
from ae_lightning.training.uncompiled import networks, set_compiled_call

Mode = Literal["reduce-overhead", "max-autotune"]


class Compilation(Callback):
    """Compile encoder and decoder, each on its own, at the start of `fit`.

    The weights stay the same, and so does what a checkpoint holds. Penalties and pictures call both
    uncompiled, since `torch.compile` cannot differentiate a derivative.

    Args:
        backend: the backend of torch.compile.
        mode: its mode. "reduce-overhead" records a CUDA graph for every shape of batch, and
            replays it instead of launching kernels one by one; the shapes are then fixed.

    Raises:
        UsageError: if the model is sharded.
    """

    def __init__(self, backend: str = "inductor", mode: Mode | None = None) -> None:
        self.backend, self.mode = backend, mode

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if isinstance(trainer.strategy, ModelParallelStrategy):
            raise UsageError("a sharded model is not compiled: leave out either compile or fsdp.")
        for network in networks(pl_module):
            network.compile(
                backend=self.backend, mode=self.mode, dynamic=False if self.mode else None
            )

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # Gradients that accumulate lie in the memory of the graphs that made them.
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._begin(trainer)

    def on_validation_batch_start(self, trainer: Trainer, *_: Any) -> None:
        self._begin(trainer)

    def _begin(self, trainer: Trainer) -> None:
        """Let go of what CUDA graphs have returned so far: the next ones write in its place.

        Left to itself, torch would let go of the code as soon as it is decoded.
        """
        if self.mode and trainer.strategy.root_device.type == "cuda":
            torch.compiler.cudagraph_mark_step_begin()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        for network in networks(pl_module):
            set_compiled_call(network, None)
