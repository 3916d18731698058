"""What a typical user writes: `python -m bench.typical mlp|conv BATCH STEPS ROOT`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from .clock import Clock, seconds
from .hand import LR, networks, terms


class Typical(LightningModule):
    """The same networks and terms, six calls of self.log a step, and Adam as it comes."""

    def __init__(self, conv: bool) -> None:
        super().__init__()
        self.encoder, self.decoder = networks(conv)
        self.log_sigma = nn.Parameter(torch.tensor(-1.2))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, _ = batch
        distortion, rate = terms(self.encoder, self.decoder, self.log_sigma, x)
        loss = distortion + rate
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/distortion", distortion)
        self.log("train/rate", rate)
        self.log("train/elbo", -loss)
        self.log("train/beta", 1.0)
        self.log("train/lr", LR)
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), lr=LR)


def main(kind: str, batch: str, steps: str, root: str) -> None:
    data = datasets.MNIST(root, train=True, transform=transforms.ToTensor())
    loader = DataLoader(data, batch_size=int(batch), shuffle=True, num_workers=2)
    with tempfile.TemporaryDirectory() as folder:
        clock = Path(folder, "clock")
        trainer = Trainer(
            max_epochs=1,
            accelerator="cpu",
            limit_train_batches=int(steps),
            callbacks=[Clock(str(clock))],
            default_root_dir=folder,
        )
        trainer.fit(Typical(kind == "conv"), loader)
        print("seconds a step:", seconds(clock)[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
