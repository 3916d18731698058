"""The trainer of `autoencoders`."""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import time

import torch.nn.functional as F
from autoencoders import (
    TrainingConfig,
    VAETrainer,
    VariationalAutoencoderConfig,
    VariationalAutoencoderModel,
)
from autoencoders.data.base import TensorSpec
from torch import Tensor, nn
from torch.optim import Adam

from ..hand import LR, networks
from .batches import Batches


class Model(VariationalAutoencoderModel):  # type: ignore[misc]
    """Its variational autoencoder, with the networks that all have."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        config = VariationalAutoencoderConfig(latent_dim=16)
        spec = TensorSpec(shape=(1, 28, 28))
        super().__init__(config=config, sample_spec=spec, encoder=encoder, decoder=decoder)

    def encode(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        mu, log_var = self.encoder(inputs).chunk(2, 1)
        return mu, log_var

    def compute_loss(self, reconstruction: Tensor, inputs: Tensor) -> Tensor:
        return F.mse_loss(reconstruction, inputs, reduction="sum") / (2 * len(inputs))


def main(kind: str, batch: str, steps: str, root: str, plain: str = "") -> None:
    model = Model(*networks(kind == "conv"))
    adam = None if plain else Adam(model.parameters(), lr=LR, fused=True)
    with tempfile.TemporaryDirectory() as folder:
        config = TrainingConfig(output_dir=folder, device="cpu", learning_rate=LR)
        trainer, batches = VAETrainer(model, config, adam), Batches(batch, steps, root)
        with contextlib.redirect_stdout(io.StringIO()):
            start = time.perf_counter()
            trainer.train_epoch(batches)
            spent = time.perf_counter() - start
    print("seconds a step:", spent / len(batches))


if __name__ == "__main__":
    main(*sys.argv[1:])
