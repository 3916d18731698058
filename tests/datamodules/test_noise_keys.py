"""What evaluation noise is a function of: the split and the example."""

import pytest
import torch

from ae_lightning.core.errors import UsageError
from ae_lightning.core.randomness import uniform_by_index
from ae_lightning.corruptions import Dequantise, GaussianNoise
from ae_lightning.datamodules import MNIST, Digits, Manifold, Ring, Sprites
from ae_lightning.datamodules.binarise import Threshold


def test_splits_do_not_share_their_corruption() -> None:
    data = Digits(corruption=GaussianNoise(0.3))
    noise = {s: (p := data.pairs(s, range(20))).x_tilde - p.x for s in ("train", "val", "test")}
    again = data.pairs("test", range(10, 20))
    assert torch.allclose(again.x_tilde - again.x, noise["test"][10:])
    for one, other in (("val", "test"), ("train", "val"), ("train", "test")):
        together = torch.stack([noise[one].flatten(), noise[other].flatten()])
        assert together.corrcoef()[0, 1].abs() < 0.1


def test_uniforms_are_below_one_even_of_the_largest_integer(monkeypatch) -> None:
    monkeypatch.setattr("ae_lightning.core.randomness._mix", lambda z: torch.full_like(z, -1))
    u = uniform_by_index(0, torch.tensor([0, 1]), 3)
    assert (u < 1).all()
    assert (u > 0).all()


def test_dequantised_digits_are_spread_within_their_steps() -> None:
    plain, spread = Digits(), Digits(dequantise=True)
    x, y = (data.pairs("val", range(50)).x for data in (plain, spread))
    u = 256 * y - 255 * x
    assert (u >= -1e-4).all()
    assert (u <= 1 + 1e-4).all()
    assert (u.mean() - 0.5).abs() < 0.02
    assert spread.pairs("val", range(50)).x.equal(y)
    assert y.equal(spread.pairs("val", range(50)).x_tilde)
    first, second = (next(iter(spread.train_dataloader())).x for _ in range(2))
    assert first.equal(second)  # of the same step, so that a run resumes
    assert not Dequantise()(x).equal(Dequantise()(x))


def test_what_is_no_image_of_bytes_is_not_dequantised() -> None:
    with pytest.raises(UsageError, match="Manifold stores no bytes: drop dequantise"):
        Manifold(Ring(), dequantise=True).pairs("val", [0])
    with pytest.raises(UsageError, match="binarised images are no bytes"):
        MNIST(binarise=Threshold(), dequantise=True)


def test_a_rotation_is_told_within_the_period_of_its_shape() -> None:
    data = Sprites(size=300)
    factors = data.factors("train", range(300))
    period = torch.tensor([torch.pi / 2, torch.pi, 2 * torch.pi / 3])
    shape, rotation = factors[:, 4].long(), factors[:, 3]
    for s in range(3):
        angles = rotation[shape == s] / period[s]
        assert ((angles >= 0) & (angles <= 1)).all()
        assert angles.max() > 0.9
        assert angles.min() < 0.1
