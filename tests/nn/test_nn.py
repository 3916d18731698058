"""Networks map the shapes they were built for, and keep what they promise of weights and codes."""

import pytest
import torch
from torch import nn

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.errors import UsageError
from ae_lightning.geometry import fixed_statistics, score
from ae_lightning.likelihoods import Gaussian
from ae_lightning.nn import (
    MLP,
    ConvDecoder,
    ConvEncoder,
    Identity,
    Rectifier,
    Residual,
    Sigmoid,
    TiedMLP,
    TopK,
    UnitNorm,
    UnitVariance,
)
from ae_lightning.posteriors import DiagonalGaussian, Dirac


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8)])
@pytest.mark.parametrize(("encoder", "decoder"), [(MLP, MLP), (ConvEncoder, ConvDecoder)])
@pytest.mark.parametrize("latent", [1, 7, 1000])
def test_networks_map_between_any_shape_and_code(shape, encoder, decoder, latent) -> None:
    f, g = encoder(), decoder()
    f.build(shape, (latent,))
    g.build((latent,), shape)
    z = f(torch.rand(2, *shape))
    assert z.shape == (2, latent)
    assert g(z).shape == (2, *shape)


def test_centring_takes_the_mean_from_inputs_and_gives_it_to_outputs() -> None:
    f, mean, target = MLP([]), torch.rand(4), torch.rand(3)
    f.build((4,), (3,))
    f.centre(mean, target)
    assert f(mean[None])[0].equal(target)


@pytest.mark.parametrize("decoder", [MLP, ConvDecoder])
def test_a_centred_decoder_starts_near_the_mean(decoder) -> None:
    g, target = decoder(), torch.full((1, 8, 8), 3.0)
    g.build((2,), (1, 8, 8))
    g.centre(None, target)
    assert (g(torch.zeros(1, 2)) - target).abs().max() < 1


def tied(encoder: MLP) -> AutoEncoder:
    return AutoEncoder((6,), 3, encoder, Dirac(), TiedMLP(), Gaussian())


def test_a_tied_decoder_is_the_transpose_and_its_weights_count_once() -> None:
    model = tied(MLP([5], activation="Tanh"))
    W1, W2 = (layer.weight for layer in model.encoder.layers)
    z = torch.rand(4, 3)
    b1, b2 = model.decoder.biases
    assert torch.allclose(model.decode(z).mean, torch.tanh(z @ W2 + b1) @ W1 + b2)
    assert sum(p.numel() for p in model.parameters()) == 6 * 5 + 5 * 3 + 5 + 3 + 5 + 6


def test_a_tied_decoder_says_what_it_cannot_mirror() -> None:
    with pytest.raises(UsageError, match="ConvEncoder"):
        AutoEncoder((1, 8, 8), 3, ConvEncoder(), Dirac(), TiedMLP(), Gaussian())
    with pytest.raises(UsageError, match="Dirac"):
        AutoEncoder((6,), 3, MLP(), DiagonalGaussian(), TiedMLP(), Gaussian())


def test_unit_columns_stay_at_unit_norm_through_training() -> None:
    g = MLP([], unit_columns=True)
    g.build((5,), (7,))
    optimizer = torch.optim.SGD(g.parameters(), lr=1.0)
    g(torch.rand(9, 5)).square().sum().backward()
    optimizer.step()
    assert torch.allclose(g.layers[0].weight.norm(dim=0), torch.ones(5))


def test_a_dictionary_starts_as_the_transpose_of_an_affine_encoder() -> None:
    model = AutoEncoder((7,), 5, MLP([]), Dirac(TopK(2)), MLP([], unit_columns=True), Gaussian())
    W = model.encoder.layers[0].weight
    assert torch.allclose(model.decoder.atoms(), (W / W.norm(dim=1, keepdim=True)).T)


def test_code_activations() -> None:
    u = torch.randn(50, 6, dtype=torch.float64)
    assert Sigmoid()(u).equal(u.sigmoid())
    assert Rectifier()(u).equal(u.clamp(min=0))
    assert torch.allclose(UnitNorm()(u).norm(dim=1), torch.ones(50, dtype=u.dtype))
    top = TopK(2)(u.exp())
    assert ((top != 0).sum(1) == 2).all()
    assert top.max(1).values.equal(u.exp().max(1).values)


def test_unit_variance_is_so_over_the_batch_and_over_the_data() -> None:
    code = UnitVariance()
    code.build(3)
    u = 5 + 3 * torch.randn(1000, 3)
    for _ in range(300):
        h = code(u)
    assert torch.allclose(h.std(0, unbiased=False), torch.ones(3), atol=1e-4)
    assert torch.allclose(code.eval()(u), h, atol=1e-4)


@pytest.mark.parametrize("batches", [1, 3, 20, 100])
def test_unit_variance_starts_from_the_data_not_from_0_and_1(batches) -> None:
    code = UnitVariance()
    code.build(3)
    for _ in range(batches):
        code(5 + 3 * torch.randn(500, 3))
    h = code.eval()(5 + 3 * torch.randn(20_000, 3))
    assert h.mean().abs() < 0.08
    assert (h.std() - 1).abs() < 0.05


def test_unit_variance_trains_on_no_batch_of_one_and_encodes_one() -> None:
    code = UnitVariance()
    code.build(3)
    with pytest.raises(UsageError, match=r"this one has one example: set data\.batch_size"):
        code(torch.randn(1, 3))
    code(torch.randn(2, 3))
    assert code.eval()(torch.randn(1, 3)).isfinite().all()


def test_fixed_statistics_are_those_of_the_latest_batch() -> None:
    code = UnitVariance()
    code.build(3)
    u = torch.randn(10, 3)
    h = code(u)
    with fixed_statistics(code):
        assert code(u[:1]).equal(h[:1])


def test_dropout_acts_in_training_only() -> None:
    f = MLP([64], dropout=0.5)
    f.build((4,), (3,))
    x = torch.rand(2, 4)
    assert not f(x).equal(f(x))
    assert f.eval()(x).equal(f(x))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: MLP(activation="GELUE"), "did you mean GELU"),
        (lambda: MLP(activation="Softmax"), "Softmax is not an elementwise one"),
        (lambda: MLP(activation="Threshold"), "needs arguments"),
        (lambda: MLP(widths=[0]), "at least one unit"),
        (lambda: MLP(dropout=1.0), "dropout is 1.0"),
        (lambda: TopK(9).build(4), "expected 1 to 4"),
        (lambda: ConvEncoder().build((3,), (2,)), "use an MLP"),
        (lambda: ConvDecoder().build((2,), (1, 30, 30)), "multiples of 4.*--config resnet"),
    ],
)
def test_wrong_choices_are_named(make, said) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_convolutions_take_any_number_of_layers() -> None:
    f = ConvEncoder(channels=[4, 8, 16], hidden=10)
    f.build((3, 32, 32), (2,))
    assert sum(isinstance(m, nn.Conv2d) for m in f.modules()) == 3


def test_a_residual_network_adds_its_change_to_its_input() -> None:
    r = Residual(MLP([8]), scale=0.25)
    r.build((2, 3), (6,))
    x = torch.rand(4, 2, 3)
    assert r(x).equal(x.flatten(1) + 0.25 * r.network(x))


def test_a_residual_denoiser_after_an_identity_estimates_the_score_by_its_network() -> None:
    s = Residual(MLP([8]), scale=0.5**2)
    model = AutoEncoder((2,), 2, Identity(), Dirac(), s, Gaussian(0.5), value_range=None).double()
    x = torch.randn(5, 2).double()
    torch.testing.assert_close(score(model, x, 0.5), s.network(x), rtol=1e-12, atol=1e-12)


def test_a_centred_residual_starts_near_its_input_wherever_the_data_lies() -> None:
    r = Residual(MLP([8]), scale=0.01)
    r.build((2,), (2,))
    mean = torch.full((2,), 100.0)
    r.centre(None, mean)
    assert (r(torch.zeros(1, 2))).abs().max() < 1


@pytest.mark.parametrize("network", [Identity(), Residual(MLP([8]))])
def test_what_keeps_a_size_refuses_to_change_it(network) -> None:
    with pytest.raises(UsageError, match="set latent to the data's size"):
        network.build((3,), (2,))
