"""What the systems reach on real MNIST, from the parts that users train with."""

from functools import partial
from pathlib import Path

import pytest
from torch.optim import Adam

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.corruptions import GaussianNoise, Masking
from ae_lightning.datamodules import MNIST, Dynamic
from ae_lightning.likelihoods import Bernoulli
from ae_lightning.nn import ConvDecoder, ConvEncoder
from ae_lightning.schedules import OneCycle
from ae_lightning.systems import DenoisingAutoEncoder, VariationalAutoEncoder
from helpers.training import fit


def figures(model: AutoEncoder, data: MNIST, epochs: int, folder: Path) -> dict[str, float]:
    """What is logged at the end of training, on the validation set."""
    once = {"max_epochs": epochs, "check_val_every_n_epoch": epochs, "num_sanity_val_steps": 0}
    trainer = fit(model, data, folder, **once)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def test_the_convolutional_vae_reaches_100_nats_in_3_epochs(ae_data, tmp_path) -> None:
    model = VariationalAutoEncoder(
        (1, 28, 28),
        latent=32,
        encoder=ConvEncoder(),
        decoder=ConvDecoder(),
        likelihood=Bernoulli(),
        optimizer=partial(Adam, lr=3e-3, fused=True),
        lr_schedule=OneCycle(),
    )
    data = MNIST(root=str(ae_data), binarise=Dynamic())
    reached = figures(model, data, 3, tmp_path)
    assert -reached["val/elbo"] <= 100


@pytest.mark.parametrize("corruption", [Masking(p=0.3), GaussianNoise(sigma=0.3)])
def test_a_denoising_autoencoder_halves_the_squared_error_in_2_epochs(
    corruption, ae_data, tmp_path
) -> None:
    model = DenoisingAutoEncoder((1, 28, 28))
    reached = figures(model, MNIST(root=str(ae_data), corruption=corruption), 2, tmp_path)
    assert reached["val/mse"] <= reached["val/mse_corrupted"] / 2
