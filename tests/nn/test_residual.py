"""Residual networks take images of any size, start at the mean image, and leave no checkerboard."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ae_lightning.core.errors import UsageError
from ae_lightning.geometry import jacobian
from ae_lightning.likelihoods import Bernoulli, Gaussian, HeteroscedasticGaussian
from ae_lightning.nn import MLP, ConvDecoder, Network, ResidualDecoder, ResidualEncoder
from ae_lightning.nn.blocks import Attention, Block
from ae_lightning.nn.residual import levels
from ae_lightning.systems import UndercompleteAutoEncoder, VariationalAutoEncoder
from ae_lightning.training.sharding import units

SIDES = [(28, 28), (29, 31), (57, 33), (64, 64), (100, 40), (256, 256), (8, 8), (1, 5)]


def pair(shape=(3, 20, 12), latent=6, **options) -> tuple[ResidualEncoder, ResidualDecoder]:
    torch.manual_seed(0)
    spatial = options.pop("spatial", False)
    f, g = ResidualEncoder(spatial=spatial, **options), ResidualDecoder(**options)
    f.build(shape, (latent,))
    g.build((latent,), shape, mirror=f)
    return f, g


def awake(network: nn.Module) -> Any:
    """The same with random weights everywhere, since what starts as zero tells nothing."""
    with torch.no_grad():
        for m in network.modules():
            if isinstance(m, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(m.weight)
                m.bias.normal_(0, 0.1)
    return network


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_any_sides_and_channels_map_to_a_code_and_back(sides, channels) -> None:
    f, g = pair((channels, *sides), width=4)
    z = f(torch.rand(2, channels, *sides))
    assert z.shape == (2, 6)
    assert g(z).shape == (2, channels, *sides)


@pytest.mark.parametrize(
    ("side", "channels", "lowest"),
    [
        (28, [32, 64], 7),
        (32, [32, 64], 8),
        (64, [16, 32, 64], 8),
        (128, [16, 32, 64, 128], 8),
        (256, [16, 32, 64, 128, 256], 8),
    ],
)
def test_width_and_depth_follow_the_size(side, channels, lowest) -> None:
    assert levels((3, side, side), None, None) == (channels, (lowest, lowest))


@pytest.mark.parametrize("side", [28, 64, 256])
def test_parameters_stay_sane(side) -> None:
    f, g = pair((3, side, side), 128)
    assert sum(p.numel() for n in (f, g) for p in n.parameters()) < 11e6


@pytest.mark.parametrize("likelihood", [Gaussian(), HeteroscedasticGaussian(), Bernoulli()])
def test_every_reconstruction_starts_as_the_mean_image(likelihood) -> None:
    encoder, decoder = ResidualEncoder(), ResidualDecoder()
    model = VariationalAutoEncoder(
        (3, 20, 12), encoder=encoder, decoder=decoder, likelihood=likelihood
    )
    x = 0.1 + 0.8 * torch.rand(50, 3, 20, 12)
    model.start(x)
    mean = x.mean(0)
    assert (model.reconstruct(x[:4]) - mean).abs().max() < 1e-6
    assert (encoder(mean[None]) - encoder.layers[-1].bias).abs().max() < 1


def test_each_pixel_of_the_image_is_seen_and_none_of_the_margin() -> None:
    f, g = map(awake, pair((1, 9, 11), latent=4, width=4))
    J = jacobian(f, torch.rand(1, 1, 9, 11))
    assert (J.square().sum((0, 1, 2)) > 0).all()
    assert g(torch.randn(500, 4)).std(0).min() > 0.01


def peak(g: Network, z: Tensor, stride: int) -> float:
    """The power at the period of a stride, along both axes, over that of its neighbours: log."""
    x = g(z).detach()[:, 0]
    window = torch.hann_window(x.shape[-1])
    x = (x - x.mean((1, 2), keepdim=True)) * window * window[:, None]
    P = torch.fft.fft2(x).abs().square()
    line = P[:, :4].sum(1) + P[:, :, :4].sum(2)
    k = x.shape[-1] // stride
    near = [*range(k - 6, k - 2), *range(k + 3, k + 7)]
    return (line[:, k] / line[:, [n % 64 for n in near]].mean(1)).log().mean().item()


def peaks(make, stride: int) -> float:
    torch.manual_seed(0)
    return sum(peak(awake(g), z, stride) for g, z in (make() for _ in range(20))) / 20


def flat(g: Network) -> tuple[Network, Tensor]:
    g.build((5,), (1, 64, 64))
    return g, torch.randn(1, 5)


def in_place() -> tuple[Network, Tensor]:
    f, g = ResidualEncoder(spatial=True), ResidualDecoder(width=8)
    g.build((4 * 64,), (1, 64, 64), mirror=f)
    return g, torch.randn(1, 4, 1).expand(1, 4, 64).flatten(1)


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_the_decoding_of_a_constant_code_has_no_peak_at_the_stride(stride) -> None:
    assert peaks(lambda: flat(ResidualDecoder(width=8)), stride) < 0
    assert peaks(in_place, stride) < 0
    assert peaks(lambda: flat(ConvDecoder(channels=(8, 8, 8), hidden=16)), stride) > 0


# ------------------------------------------------------------------------------- memory


@contextmanager
def bytes_kept() -> Iterator[list[int]]:
    """What the graph keeps for the backward pass."""
    kept: list[int] = []
    seen: set[int] = set()

    def keep(x: Tensor) -> Tensor:
        if x.data_ptr() not in seen:
            seen.add(x.data_ptr())
            kept.append(x.nbytes)
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        yield kept


def kept_by(side: int, recompute: bool) -> int:
    f, g = pair((3, side, side), 16, recompute=recompute)
    with bytes_kept() as kept:
        g(f(torch.rand(16, 3, side, side)))
    return sum(kept)


def test_recomputing_keeps_a_third_of_the_hidden_values() -> None:
    assert kept_by(64, True) < kept_by(64, False) / 3


def test_recomputing_changes_no_bit_of_a_gradient() -> None:
    gradients = []
    for recompute in (False, True):
        f, g = map(awake, pair(recompute=recompute, attention=True))
        torch.manual_seed(1)
        x = torch.rand(3, 3, 20, 12)
        (g(f(x)) - x).square().sum().backward()
        gradients.append([p.grad for n in (f, g) for p in n.parameters()])
    assert all(a.equal(b) for a, b in zip(*gradients, strict=True))


def test_derivatives_of_derivatives_go_through_attention_and_recomputing() -> None:
    f = awake(pair(recompute=True, attention=True, width=2)[0]).double()
    x = torch.rand(1, 3, 20, 12, dtype=torch.float64, requires_grad=True)
    u = torch.randn(1, 6, dtype=torch.float64)

    def squared(x: Tensor) -> Tensor:
        return torch.func.vjp(f, x)[1](u)[0].square().sum()

    (slope,) = torch.autograd.grad(squared(x), x)
    v, h = torch.randn_like(x), 1e-5
    expected = (squared(x + h * v) - squared(x - h * v)) / (2 * h)
    assert (slope * v).sum().item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_sharded_network_is_gathered_block_by_block() -> None:
    for network in pair(blocks=2, attention=True):
        found = [*units(network)]
        held = [p for unit in found for p in unit.parameters()]
        assert sum(isinstance(unit, Block) for unit in found) == 2 * len(
            levels((3, 20, 12), 1, None)[0]
        )
        assert len(held) == len({*map(id, held)})
        assert len(held) > 0.9 * len([*network.parameters()])


# --------------------------------------------------------------- codes that keep their place


def test_a_spatial_code_is_channels_by_height_by_width_flattened() -> None:
    f, _ = pair((1, 64, 64), 4 * 64, spatial=True)
    assert f.grid((1, 64, 64)) == (8, 8)
    x = torch.rand(1, 1, 64, 64)
    moved = x.clone()
    moved[..., 40:48, 16:24] = 1 - x[..., 40:48, 16:24]  # row 5, column 2
    change = (f(moved) - f(x)).unflatten(1, (4, 8, 8)).square().sum((0, 1))
    assert divmod(change.argmax().item(), 8) == (5, 2)


def test_a_spatial_decoder_decodes_each_place_where_it_is() -> None:
    _, g = pair((1, 64, 64), 4 * 64, spatial=True)
    z = torch.randn(1, 4, 8, 8)
    moved = z.clone()
    moved[:, :, 5, 2] += 3
    change = (awake(g)(moved.flatten(1)) - g(z.flatten(1)))[0, 0].square()
    assert change[28:60, 4:36].mean() > 10 * change[:24].mean()  # beside what the norms spread


def test_the_spread_of_a_spatial_code_lies_where_its_mean_does() -> None:
    spatial = ResidualEncoder(spatial=True)
    model = VariationalAutoEncoder((1, 64, 64), 128, encoder=spatial, decoder=ResidualDecoder())
    with torch.no_grad():
        spatial.layers[-1].weight.zero_()
        spatial.layers[-1].bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))  # 2 means, 2 log σ
    q = model.encode(torch.rand(1, 1, 64, 64)).base_dist
    assert q.mean.unflatten(1, (2, 8, 8)).mean((0, 2, 3)).tolist() == [1.0, 2.0]
    assert q.stddev.unflatten(1, (2, 64))[0, 1].log().mean() > q.stddev[0, 0].log()


def test_attention_starts_as_nothing_and_then_is_that_of_one_head() -> None:
    attention = Attention(16)
    h = torch.randn(2, 16, 3, 5)
    assert attention(h).equal(h)
    awake(attention)
    qkv = attention.queries_keys_values(attention.norm(h)).flatten(2).mT.chunk(3, dim=2)
    expected = F.scaled_dot_product_attention(*qkv).mT.unflatten(2, (3, 5))
    assert torch.allclose(attention(h), h + attention.out(expected), atol=1e-5)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: pair((4,)), "use an MLP"),
        (lambda: pair(latent=100, spatial=True, halvings=2), "multiple of 15, such as 105"),
        (lambda: pair(halvings=9), "at most 5 times"),
        (lambda: pair(halvings=0), "halvings is 0: expected at least 1"),
        (lambda: pair(width=0), "width is 0: expected at least 1"),
        (lambda: pair(activation="SiLUU"), "did you mean SiLU"),
        (
            lambda: UndercompleteAutoEncoder(
                (1, 16, 16),
                16,
                encoder=ResidualEncoder(halvings=2, spatial=True),
                decoder=ResidualDecoder(halvings=1),
            ),
            "give both the same halvings",
        ),
        (
            lambda: VariationalAutoEncoder(
                (1, 16, 16), 8, encoder=ResidualEncoder(halvings=2, spatial=True), decoder=MLP()
            ),
            "latent is 8.*multiple of 16",
        ),
    ],
)
def test_wrong_choices_are_named(make, said) -> None:
    with pytest.raises(UsageError, match=said):
        make()
