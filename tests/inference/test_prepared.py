"""What a trained model is used on is prepared as in training, and never corrupted unasked."""

from pathlib import Path

import pytest
import torch

from ae_lightning.corruptions import GaussianNoise
from ae_lightning.datamodules import MNIST, FashionMNIST, PairDataModule
from ae_lightning.datamodules.binarise import Threshold
from ae_lightning.inference.inputs import open_inputs
from ae_lightning.inference.trained import TrainedModel
from helpers.models import model_of

pytestmark = pytest.mark.usefixtures("small_sets")


def opened(data: PairDataModule, *named: str):
    model = model_of(shape=(1, 28, 28), value_range=(0.0, 1.0)).float().eval()
    return open_inputs(TrainedModel(model, Path("a.ckpt"), data.record, {}, 0), named, "test")


@pytest.mark.parametrize("named", [(), ("mnist",), ("fashion_mnist",)])
def test_images_are_dequantised_as_in_training_and_not_corrupted(named):
    inputs = opened(MNIST(dequantise=True, corruption=GaussianNoise(0.5)), *named)
    x = next(iter(inputs.batches())).pair.x
    assert (255 * x).frac().abs().max() > 0.1
    assert 0 <= x.min() <= x.max() < 1
    (batch,) = inputs.batches(corrupted=False)
    assert torch.equal(batch.pair.x_tilde, batch.pair.x)
    assert torch.equal(batch.pair.x, x)  # the same draw each time
    (batch,) = inputs.batches(corrupted=True)
    assert (batch.pair.x_tilde - x).std() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("named", [(), ("mnist",)])
def test_images_are_black_and_white_if_they_were(named):
    inputs = opened(MNIST(binarise=Threshold(0.3)), *named)
    assert set(next(iter(inputs.batches())).pair.x.unique().tolist()) == {0.0, 1.0}
    assert inputs.data.preparation.at == 0.3


def test_named_data_are_found_where_those_of_training_lay(tmp_path):
    inputs = opened(MNIST(root=str(tmp_path), download=False, split_seed=5), "fashion_mnist")
    assert isinstance(inputs.data, FashionMNIST)
    assert (inputs.data.root, inputs.data.download) == (tmp_path, False)
    assert inputs.data.split_seed == 5


def test_a_config_of_ones_own_has_the_last_word(tmp_path):
    (tmp_path / "own.yaml").write_text(
        "data: {class_path: ae_lightning.datamodules.MNIST, init_args: {dequantise: false}}"
    )
    inputs = opened(MNIST(dequantise=True), str(tmp_path / "own.yaml"))
    x = next(iter(inputs.batches())).pair.x
    assert torch.equal(x * 255, (x * 255).round())
