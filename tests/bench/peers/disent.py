"""disent's framework, in a Lightning trainer with nothing on."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from disent.frameworks.vae import Vae
from disent.model import AutoEncoder, DisentDecoder, DisentEncoder
from lightning.pytorch import Trainer
from torch import Tensor, nn

from ..clock import Clock, seconds
from ..hand import LR, networks
from .batches import Batches

SIZES = {"x_shape": (1, 28, 28), "z_size": 16}


class Encoder(DisentEncoder):  # type: ignore[misc]
    def __init__(self, network: nn.Module) -> None:
        super().__init__(**SIZES, z_multiplier=2)
        self.network = network

    def encode(self, x: Tensor) -> Tensor:
        return self.network(x)  # type: ignore[no-any-return]


class Decoder(DisentDecoder):  # type: ignore[misc]
    def __init__(self, network: nn.Module) -> None:
        super().__init__(**SIZES)
        self.network = network

    def decode(self, z: Tensor) -> Tensor:
        return self.network(z)  # type: ignore[no-any-return]


class Targets(Batches):
    """Batches as the framework takes them."""

    def __iter__(self) -> Iterator[Any]:
        return ({"x_targ": (x,)} for x in super().__iter__())


def main(kind: str, batch: str, steps: str, root: str, plain: str = "") -> None:
    encoder, decoder = networks(kind == "conv")
    adam = {"lr": LR} if plain else {"lr": LR, "fused": True}
    config = Vae.cfg(loss_reduction="mean_sum", optimizer="adam", optimizer_kwargs=adam)
    model = Vae(AutoEncoder(Encoder(encoder), Decoder(decoder)), config)
    with tempfile.TemporaryDirectory() as folder:
        clock = Path(folder, "clock")
        off = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        trainer = Trainer(max_epochs=1, accelerator="cpu", callbacks=[Clock(str(clock))], **off)
        trainer.fit(model, Targets(batch, steps, root))
        print("seconds a step:", seconds(clock)[0])


if __name__ == "__main__":
    main(*sys.argv[1:])
