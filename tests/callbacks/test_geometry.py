"""Every picture of geometry, of every system and every kind of data."""

import textwrap

import pytest
import torch

from ae_lightning import systems
from ae_lightning.callbacks import (
    ContractionCurve,
    JacobianSpectrum,
    ScoreField,
    TangentDirections,
    score_field,
)
from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.corruptions import GaussianNoise
from ae_lightning.datamodules import Digits, Manifold, Ring
from ae_lightning.nn import Identity
from helpers.interpreter import python

PICTURES = (ScoreField, TangentDirections, JacobianSpectrum, ContractionCurve)
SYSTEMS = (
    systems.LinearAutoEncoder,
    systems.UndercompleteAutoEncoder,
    systems.SparseAutoEncoder,
    systems.ContractiveAutoEncoder,
    systems.DenoisingAutoEncoder,
    systems.StochasticAutoEncoder,
    systems.VariationalAutoEncoder,
    systems.ImportanceWeightedAutoEncoder,
)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_picture_of_every_system_leaves_no_trace(system, tmp_path) -> None:
    data = Digits(corruption=GaussianNoise(sigma=0.2))
    model = system(data.shape, latent=6).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.random.get_rng_state()
    flat = system is systems.LinearAutoEncoder  # contracts alike at any radius
    for picture in PICTURES:
        stem = tmp_path / picture.name
        if flat and picture is ContractionCurve:
            with pytest.raises(UsageError, match="of an affine code is flat"):
                picture(items=8).picture(model, data, stem=stem)
            continue
        picture(items=8).picture(model, data, stem=stem)
        assert 5_000 < stem.with_suffix(".png").stat().st_size < 150_000
    assert state.equal(torch.random.get_rng_state())
    assert all(module.training for module in model.modules())
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("system", [systems.DenoisingAutoEncoder, systems.StochasticAutoEncoder])
def test_every_picture_of_vectors(system) -> None:
    data = Manifold(Ring(dimension=5), size=500, corruption=GaussianNoise(sigma=0.2))
    model = system(data.shape, latent=2, value_range=None)
    for picture in PICTURES:
        figure = picture(items=20).picture(model, data)
        assert all(axes.get_xlabel() and axes.get_ylabel() for axes in figure.axes[:1])


def test_a_spectrum_that_cannot_fall_is_no_picture() -> None:
    identity = systems.DenoisingAutoEncoder((2,), 2, encoder=Identity(), value_range=None)
    assert "the identity" in JacobianSpectrum().suits(identity, None)
    for shape, latent in (((2,), 1), ((1,), 3)):
        model = systems.UndercompleteAutoEncoder(shape, latent, value_range=None)
        assert JacobianSpectrum().suits(model, None).startswith("a spectrum falls, and one value")
    assert JacobianSpectrum().suits(systems.UndercompleteAutoEncoder((2,), 2), None) is None


@pytest.mark.parametrize("picture", PICTURES)
def test_colour_images_are_drawn(picture) -> None:
    shape = (3, 8, 8)
    model = systems.DenoisingAutoEncoder(shape, latent=6)
    pair = Pair(torch.rand(9, *shape), torch.rand(9, *shape), torch.arange(9), torch.arange(9))
    callback = picture(items=9)
    callback.data = [pair]
    if picture is ScoreField:
        score_field(model, pair, 0.1)
    else:
        callback.draw(model, pair)


def test_tangents_of_a_convolutional_model_of_cifar_images_stay_under_two_gigabytes() -> None:
    code = """
        import resource, torch
        from ae_lightning import systems
        from ae_lightning.callbacks import JacobianSpectrum, TangentDirections
        from ae_lightning.nn import ConvDecoder, ConvEncoder
        from ae_lightning.core.types import Pair

        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

        x = torch.rand(100, 3, 32, 32)
        data = [Pair(x, x, torch.zeros(100), torch.arange(100))]
        encoder, decoder = ConvEncoder((32, 64)), ConvDecoder((64, 32))
        model = systems.UndercompleteAutoEncoder((3, 32, 32), 128, encoder, decoder)
        before = peak()
        TangentDirections().picture(model, data)
        JacobianSpectrum(items=3).picture(model, data)
        print(peak() - before)
    """
    assert float(python("-c", textwrap.dedent(code))) < 2.0  # GiB, on Linux
