"""A picture that notes what it is drawn of, and trainings with pictures."""

from pathlib import Path

import torch
from lightning.pytorch import Callback

from ae_lightning import systems
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.callbacks import PictureCallback
from ae_lightning.callbacks.drawing.theme import new_figure
from ae_lightning.datamodules import Digits
from ae_lightning.nn import MLP
from helpers.training import quiet_trainer


class Noting(PictureCallback):
    """A picture that notes what it is drawn of."""

    name = "noting"

    def __init__(self, *args, fails: bool = False, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fails, self.seen = fails, []

    def draw(self, model, pair):
        self.seen.append(pair)
        if self.fails:
            raise RuntimeError("no ink")
        return new_figure(1, 1)

    def measure(self, model, pair):
        return {"ink": 0.5}


def vae(**others) -> AutoEncoder:
    torch.manual_seed(3)
    widths = {"encoder": MLP([32], dropout=0.2), "decoder": MLP([32], dropout=0.2)}
    return systems.VariationalAutoEncoder((1, 8, 8), latent=4, **widths, **others)


def trained(
    directory: Path, *callbacks: Callback, model=None, loader=None, **arguments
) -> AutoEncoder:
    model = vae() if model is None else model
    options = {"max_epochs": 2, "log_every_n_steps": 5, "callbacks": [*callbacks], **arguments}
    trainer = quiet_trainer(directory, **options)
    data = {"datamodule": Digits(batch_size=400)} if loader is None else {}
    trainer.fit(model, *(loader or ()), **data)
    return model


def steps(directory: Path, name: str) -> list[int]:
    return sorted(int(p.stem) for p in (directory / "pictures" / name).glob("*.png"))
