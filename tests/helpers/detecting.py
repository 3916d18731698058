"""A model of handwritten digits, briefly trained, and images of digits and of clothes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ae_lightning.datamodules import MNIST, FashionMNIST
from ae_lightning.likelihoods import Bernoulli
from ae_lightning.systems import VariationalAutoEncoder
from helpers.training import fit


class Trained(NamedTuple):
    """A checkpoint, and files of images that it has not seen: clean ones, and clean ones and not.

    Args:
        calibration: 1,000 digits.
        digits: 3,000 others.
        mixed: 400 digits, labelled 0, and 400 clothes, labelled 1.
    """

    checkpoint: Path
    calibration: Path
    digits: Path
    mixed: Path


def train_on_digits(root: Path, folder: Path) -> Trained:
    """Train a small variational autoencoder for 300 steps."""
    torch.manual_seed(0)
    model = VariationalAutoEncoder((1, 28, 28), latent=16, likelihood=Bernoulli())
    data = MNIST(root=str(root))
    once = {"max_epochs": 1, "limit_train_batches": 300, "limit_val_batches": 0}
    fit(model, data, folder, num_sanity_val_steps=0, **once).save_checkpoint(folder / "m.ckpt")
    digits = stored(data)
    clothes = stored(FashionMNIST(root=str(root)))
    np.save(folder / "calibration.npy", digits[:1000])
    np.save(folder / "digits.npy", digits[1000:4000])
    x = np.concatenate([digits[4000:4400], clothes[:400]])
    np.savez(folder / "mixed.npz", x=x, y=np.repeat([0, 1], 400))
    return Trained(
        *(folder / name for name in ("m.ckpt", "calibration.npy", "digits.npy", "mixed.npz"))
    )


def stored(data: MNIST | FashionMNIST) -> np.ndarray:
    """The test images as bytes, in an order of chance: those of MNIST come in two kinds."""
    data.setup()
    x = data.sets["test"].x.numpy()
    return x[np.random.default_rng(0).permutation(len(x))]
