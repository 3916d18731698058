"""Corruptions are the distributions they say they are; evaluation noise is keyed on examples."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from ae_lightning import corruptions
from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import rebuild
from ae_lightning.corruptions import (
    BlockMasking,
    Clean,
    Compose,
    Corruption,
    Dequantise,
    GaussianNoise,
    Masking,
    SaltAndPepper,
    corrupt_by_index,
    random_int16,
)

Z = 4.5  # standard errors, as theory's checks allow

NOISY = [
    GaussianNoise(0.5),
    Masking(0.3),
    SaltAndPepper(0.3),
    BlockMasking(3, blocks=2),
    Compose([GaussianNoise(0.1), Masking(0.5)]),
]
names = [type(c).__name__ for c in NOISY]


def images(n: int = 6) -> Tensor:
    return torch.rand(n, 2, 7, 5, dtype=torch.float64, generator=Generator().manual_seed(1))


def with_every_integer(monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """Let a draw be all 16-bit integers, each once, and return ones to be corrupted by it."""
    all_of_them = torch.arange(-(2**15), 2**15).to(torch.int16)
    monkeypatch.setattr(corruptions, "random_int16", lambda x, generator: all_of_them)
    return torch.ones(2**16, dtype=torch.float64)


def test_random_integers_are_uniform_in_all_their_bits():
    r = random_int16(torch.empty(1000, 1001), Generator().manual_seed(0)).flatten()
    bits = (r[:, None].int() >> torch.arange(16)) & 1
    deviation = (bits.double().mean(0) - 0.5) / (0.5 / math.sqrt(len(r)))
    assert deviation.abs().max() < Z
    agreement = (bits[:, 1:] == bits[:, :-1]).double().mean(0)
    assert ((agreement - 0.5) / (0.5 / math.sqrt(len(r)))).abs().max() < Z


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_random_integers_have_any_shape(n):
    assert random_int16(torch.empty(n, 3), None).shape == (n, 3)


def test_the_clean_pair_is_one_tensor():
    x = images()
    assert Clean()(x) is x
    assert Compose([Clean(), Clean()])(x) is x
    assert corrupt_by_index(Compose([Clean()]), x, 0, torch.arange(6)) is x


def test_gaussian_noise_has_its_moments_and_is_not_clipped():
    n, sigma = 1_000_000, 0.5
    noise = GaussianNoise(sigma)(torch.ones(n, dtype=torch.float64)) - 1
    assert abs(noise.mean()) < Z * sigma / math.sqrt(n)
    assert abs(noise.var() / sigma**2 - 1) < Z * math.sqrt(2 / n)
    assert abs((noise / sigma).pow(4).mean() - 3) < Z * math.sqrt(96 / n)
    assert (noise > 4 * sigma).any()


@pytest.mark.parametrize("p", [0.0, 1 / 65536, 0.1, 0.5, 65535 / 65536, 1.0])
def test_masking_drops_exactly_its_share_and_rescales_nothing(p, monkeypatch):
    x_tilde = Masking(p)(with_every_integer(monkeypatch))
    assert (x_tilde == 0).sum() == round(p * 65536)
    assert set(x_tilde.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("p", [0.0, 1 / 32768, 0.1, 0.5, 1.0])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-2.0, 3.0)])
def test_salt_and_pepper_are_exact_halves(p, low, high, monkeypatch):
    x = with_every_integer(monkeypatch) / 2
    x_tilde = SaltAndPepper(p, low, high)(x)
    assert (x_tilde == low).sum() == (x_tilde == high).sum() == round(p * 32768)
    assert ((x_tilde == 0.5) | (x_tilde == low) | (x_tilde == high)).all()


@pytest.mark.parametrize("noise", [Masking(0.3), SaltAndPepper(0.3)])
def test_elements_are_corrupted_independently(noise):
    n = 200_000
    x = torch.full((n, 2), 0.5, dtype=torch.float64)
    a, b = (noise(x) != x).double().T
    assert abs(a.mean() - 0.3) < Z * math.sqrt(0.21 / n)
    assert abs((a * b).mean() - 0.09) < Z * math.sqrt(0.09 * 0.91 / n)


def test_a_block_is_masked_whole_in_all_channels_and_anywhere_with_equal_chance():
    n, size = 90_000, 2
    x_tilde = BlockMasking(size)(torch.ones(n, 2, 4, 4, dtype=torch.float64))
    assert (x_tilde[:, 0] == x_tilde[:, 1]).all()
    assert ((x_tilde[:, 0] == 0).sum((1, 2)) == size**2).all()
    corners = (x_tilde[:, 0] == 0).flatten(1).double().argmax(1)  # the first masked place
    counts = corners.bincount(minlength=16)
    assert (counts > 0).sum() == 9
    chi_squared = ((counts[counts > 0] - n / 9) ** 2 / (n / 9)).sum()
    assert chi_squared < 8 + Z * math.sqrt(16)


def test_blocks_add_up_and_may_overlap():
    lost = (BlockMasking(2, blocks=3)(torch.ones(500, 1, 6, 6)) == 0).sum((1, 2, 3))
    assert lost.max() == 12
    assert lost.min() < 12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dequantised_bytes_stay_on_their_steps_below_one(dtype, monkeypatch):
    largest = 1 - torch.finfo(dtype).eps / 2  # that torch.rand draws: 255 + u rounds up to 256
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, largest, dtype=dtype))
    x = Dequantise()(torch.tensor([0.0, 1.0], dtype=dtype))
    assert x[0] == largest / 256
    assert 1 - 2**-16 < x[1] < 1


def test_compose_goes_in_order():
    x = images()
    noise, mask = GaussianNoise(0.1), Masking(0.5)
    g = Generator().manual_seed(3)
    by_hand = mask(noise(x, g), g)
    assert torch.equal(Compose([noise, mask])(x, Generator().manual_seed(3)), by_hand)
    assert (by_hand == 0).any()
    assert not (Compose([mask, noise])(x, g) == 0).any()


@pytest.mark.parametrize("corruption", NOISY, ids=names)
class TestEvery:
    def test_is_a_function_of_the_generator(self, corruption: Corruption):
        x = images()
        again = [corruption(x, Generator().manual_seed(seed)) for seed in (0, 0, 1)]
        assert torch.equal(again[0], again[1])
        assert not torch.equal(again[0], again[2])

    def test_is_fresh_at_every_draw_and_leaves_x_alone(self, corruption: Corruption):
        x = images()
        before = x.clone()
        assert not torch.equal(corruption(x), corruption(x))
        assert torch.equal(x, before)

    def test_keeps_shape_and_dtype(self, corruption: Corruption):
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            x_tilde = corruption(images().to(dtype))
            assert (x_tilde.shape, x_tilde.dtype) == (images().shape, dtype)

    def test_corrupts_the_rows_differently(self, corruption: Corruption):
        rows = corruption(torch.ones(4, 1, 9, 9)).flatten(1)
        assert len({tuple(row.tolist()) for row in rows}) == 4

    def test_evaluation_noise_is_keyed_on_the_example(self, corruption: Corruption):
        x, index = images(), torch.tensor([4, 0, 7, 2, 9, 1])
        whole = corrupt_by_index(corruption, x, 0, index)
        order = torch.tensor([5, 3, 0, 1, 4, 2])
        shuffled = corrupt_by_index(corruption, x[order], 0, index[order])
        assert torch.equal(shuffled, whole[order])
        one = corrupt_by_index(corruption, x[2:3], 0, index[2:3])
        assert torch.equal(one, whole[2:3])
        assert not torch.equal(corrupt_by_index(corruption, x, 1, index), whole)
        assert not torch.equal(corrupt_by_index(corruption, x, 0, index + 1), whole)

    def test_evaluation_leaves_the_global_generator_alone(self, corruption: Corruption):
        before = torch.get_rng_state()
        corrupt_by_index(corruption, images(), 0, torch.arange(6))
        assert torch.equal(torch.get_rng_state(), before)

    def test_is_rebuilt_from_its_record(self, corruption: Corruption):
        g = Generator().manual_seed(0)
        expected = corruption(images(), g)
        assert torch.equal(rebuild(corruption.record)(images(), g.manual_seed(0)), expected)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Masking(1.5), "Masking.p is 1.5: expected a probability in [0, 1]."),
        (lambda: SaltAndPepper(-0.1), "SaltAndPepper.p is -0.1: expected a probability in [0, 1]."),
        (lambda: Masking(math.nan), "Masking.p is nan: expected a probability in [0, 1]."),
        (lambda: GaussianNoise(-1), "GaussianNoise.sigma is -1: expected a number of at least 0."),
        (lambda: BlockMasking(0), "BlockMasking.size is 0, blocks 1: expected at least 1."),
        (
            lambda: BlockMasking(8)(torch.ones(1, 1, 9, 7)),
            "BlockMasking.size is 8: expected images (C, H, W) of at least that height and width, "
            "not (1, 9, 7).",
        ),
        (
            lambda: BlockMasking(2)(torch.ones(1, 9)),
            "BlockMasking.size is 2: expected images (C, H, W) of at least that height and width, "
            "not (9,).",
        ),
    ],
)
def test_errors_name_the_value_and_what_was_expected(make, sentence):
    with pytest.raises(UsageError) as caught:
        make()
    assert str(caught.value) == sentence


def test_gaussian_noise_over_a_range_gives_every_example_its_own_log_uniform_sigma() -> None:
    noise = GaussianNoise(sigma=0.05, largest=1.0)
    sigmas = noise(torch.zeros(4000, 1, 20, 20)).flatten(1).std(1)
    shares = (sigmas.log() - math.log(0.05)) / math.log(20)  # uniform on [0, 1]
    quartiles = torch.tensor([0.25, 0.5, 0.75])
    torch.testing.assert_close(shares.quantile(quartiles), quartiles, atol=0.03, rtol=0)
    assert -0.05 < float(shares.min()) < 0.01
    assert 0.99 < float(shares.max()) < 1.05
    index = torch.arange(6)
    whole = corrupt_by_index(noise, torch.zeros(6, 5), 0, index)
    assert torch.equal(whole[2:4], corrupt_by_index(noise, torch.zeros(2, 5), 0, index[2:4]))


@pytest.mark.parametrize(("sigma", "largest"), [(0.0, 1.0), (1.0, 1.0), (1.0, 0.5), (1, math.inf)])
def test_a_range_of_sigma_must_be_one(sigma: float, largest: float) -> None:
    with pytest.raises(UsageError, match="expected two numbers above 0, the second above the"):
        GaussianNoise(sigma, largest)
