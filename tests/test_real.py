"""What the systems reach on real MNIST, from the parts that users train with."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch.optim import Adam

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.corruptions import GaussianNoise, Masking
from ae_lightning.datamodules import MNIST
from ae_lightning.schedules import Cosine
from ae_lightning.systems import DenoisingAutoEncoder, LinearAutoEncoder
from helpers.training import fit


def figures(model: AutoEncoder, data: MNIST, epochs: int, folder: Path) -> dict[str, float]:
    """What is logged at the end of training, on the validation set."""
    once = {"max_epochs": epochs, "check_val_every_n_epoch": epochs, "num_sanity_val_steps": 0}
    trainer = fit(model, data, folder, **once)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


@pytest.mark.parametrize("corruption", [Masking(p=0.3), GaussianNoise(sigma=0.3)])
def test_a_denoising_autoencoder_halves_the_squared_error_in_2_epochs(
    corruption, ae_data, tmp_path
) -> None:
    model = DenoisingAutoEncoder((1, 28, 28))
    reached = figures(model, MNIST(root=str(ae_data), corruption=corruption), 2, tmp_path)
    assert reached["val/mse"] <= reached["val/mse_corrupted"] / 2


def pca_error(train: torch.Tensor, x: torch.Tensor, k: int) -> torch.Tensor:
    """The squared error per example of x about the k leading components of train."""
    mean = train.mean(0)
    _, V = torch.linalg.eigh((train - mean).T @ (train - mean))  # in rising order
    residual = (x - mean) - (x - mean) @ V[:, -k:] @ V[:, -k:].T
    return residual.square().sum(1).mean()


def images(data: MNIST, split: str) -> torch.Tensor:
    return data.pairs(split, range(len(data.sets[split]))).x.flatten(1).double()


def test_the_linear_autoencoder_reaches_the_error_of_pca(ae_data, tmp_path) -> None:
    data = MNIST(root=str(ae_data), batch_size=500)
    model = LinearAutoEncoder(
        (1, 28, 28),
        latent=32,
        optimizer=partial(Adam, lr=3e-3, fused=True),
        lr_schedule=Cosine(1.0, 0.0),
    )
    figures(model, data, 10, tmp_path)
    x = images(data, "train")
    best = pca_error(x, x, 32)
    with torch.no_grad():
        error = (model.double()(x.unflatten(1, (1, 28, 28))).flatten(1) - x).square().sum(1).mean()
    assert error <= 1.005 * best
    # What the decoder spans, whatever the encoder does, holds as much variance.
    U = model.principal_subspace()
    centred = x - x.mean(0)
    assert (centred - centred @ U @ U.T).square().sum(1).mean() <= 1.005 * best


def test_pca_with_30_components_has_the_error_of_hinton_and_salakhutdinov(ae_data) -> None:
    data = MNIST(root=str(ae_data), val_size=1)
    data.setup("fit")
    train = images(data, "train")
    assert pca_error(train, images(data, "test"), 30) == pytest.approx(13.87, abs=0.01)
