"""pythae's trainer, which makes its loader itself."""

from __future__ import annotations

import sys
import tempfile
import time
from typing import Any

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from torch import Tensor, nn

from ..data import images
from ..hand import LR, networks


class Encoder(BaseEncoder):  # type: ignore[misc]
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> ModelOutput:
        mu, log_var = self.network(x).chunk(2, 1)
        return ModelOutput(embedding=mu, log_covariance=log_var)


class Decoder(BaseDecoder):  # type: ignore[misc]
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.network(z))


class Timed(BaseTrainer):  # type: ignore[misc]
    """Note the seconds of every epoch of training."""

    def train_step(self, epoch: int) -> Any:
        start = time.perf_counter()
        loss = super().train_step(epoch)
        self.seconds = time.perf_counter() - start
        return loss


def main(kind: str, batch: str, steps: str, root: str, plain: str = "") -> None:
    x = images(root)[: int(batch) * int(steps)] / 255
    encoder, decoder = networks(kind == "conv")
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=16, reconstruction_loss="mse")
    model = VAE(config, Encoder(encoder), Decoder(decoder))
    with tempfile.TemporaryDirectory() as folder:
        training = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=1,
            per_device_train_batch_size=int(batch),
            learning_rate=LR,
            optimizer_cls="Adam",
            optimizer_params=None if plain else {"fused": True},
            no_cuda=True,
        )
        trainer = Timed(model, BaseDataset(x, torch.zeros(len(x))), training_config=training)
        trainer.train()
        print("seconds a step:", trainer.seconds / len(trainer.train_loader))


if __name__ == "__main__":
    main(*sys.argv[1:])
