"""Each group of figures, against formulas and against definitions."""

import math

import numpy as np
import pytest
import scipy.signal
import torch

from ae_lightning.corruptions import GaussianNoise, Masking
from ae_lightning.datamodules import Manifold, MixtureOfGaussians
from ae_lightning.inference.inputs import Inputs
from ae_lightning.inference.measures.figures import Averages, NotDefined, Settings
from ae_lightning.inference.measures.information import information
from ae_lightning.inference.measures.likelihood import likelihood
from ae_lightning.inference.measures.reconstruction import (
    SIGMAS,
    WINDOWS,
    reconstruction,
    wiener,
)
from ae_lightning.inference.measures.score import score
from ae_lightning.inference.measures.sensitivity import sensitivity
from ae_lightning.inference.measures.sparsity import sparsity
from ae_lightning.likelihoods import Bernoulli, Categorical, ContinuousBernoulli, Gaussian
from ae_lightning.metrics import psnr, ssim
from ae_lightning.nn import TopK
from ae_lightning.posteriors import DiagonalGaussian
from ae_lightning.theory.linear_models import exact_linear_vae, marginal, orthogonal_columns
from helpers.linear import linear
from helpers.measured import by_name, inputs_of, trained_of
from helpers.models import model_of

FEW = Settings(samples=20, repeats=3, subset=40, batch_size=16)


def test_means_and_their_errors_are_those_of_all_values_at_once():
    values, found = torch.randn(101).double() + 1e6, Averages()
    for part in values.split(7):
        found.add(a=part)
    assert found.mean("a") == pytest.approx(float(values.mean()), rel=1e-14)
    assert found.error("a") == pytest.approx(float(values.std() / 101**0.5), rel=1e-6)


# ------------------------------------------------------------------------- likelihood


def test_log_p_of_probabilistic_pca_is_its_closed_form():
    model = exact_linear_vae(orthogonal_columns(7, [4.0, 1.0]), 0.6, torch.randn(7).double())
    x = marginal(model).sample((60,))
    figures = by_name(likelihood(trained_of(model), inputs_of(x), FEW))
    log_p = marginal(model).log_prob(x)
    for name in ("log_p", "log_p_1"):
        assert figures[name].value == pytest.approx(float(log_p[:40].mean()), abs=1e-9)
        assert figures[name].error == pytest.approx(float(log_p[:40].std() / 40**0.5), rel=1e-9)
    assert "K = 20, the first 40 examples, 3 repeats from seed 0" in figures["log_p"].note
    once = by_name(likelihood(trained_of(model), inputs_of(x), FEW._replace(repeats=1)))
    assert once["log_p"].note == "K = 20, the first 40 examples, seed 0"
    assert figures["elbo"].value == -figures["distortion"].value - figures["rate"].value


def test_with_another_posterior_it_rises_from_the_elbo_and_stays_below():
    model = exact_linear_vae(orthogonal_columns(7, [4.0, 1.0]), 0.6, torch.randn(7).double())
    for parameter in model.encoder.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    x = marginal(model).sample((400,))
    ask = FEW._replace(samples=200, subset=400)
    found = by_name(likelihood(trained_of(model), inputs_of(x), ask))
    truth = float(marginal(model).log_prob(x).mean())
    assert found["log_p_1"].value < found["log_p"].value - 0.1
    assert found["log_p"].value < truth + 0.02
    assert found["log_p"].value > truth - 0.1


def bits(likelihood_, x, **options):
    model = model_of(
        posterior=DiagonalGaussian(), likelihood=likelihood_, value_range=(0.0, 1.0)
    ).float()
    figures = by_name(likelihood(trained_of(model), inputs_of(x, **options), FEW))
    found = figures.get("bits_per_dimension")
    return found and found.value, -figures["log_p"].value / (16 * math.log(2))


def test_bits_a_dimension_are_there_where_they_are_defined():
    grey = torch.randint(0, 256, (20, 1, 4, 4), dtype=torch.uint8)
    binary = (grey > 128).byte() * 255
    assert bits(Gaussian(), grey)[0] is None  # a density of bytes
    assert bits(Bernoulli(), grey)[0] is None  # no probability of grey values
    found, plain = bits(ContinuousBernoulli(), grey, dequantise=True)
    assert found == pytest.approx(plain + 8)
    found, plain = bits(Bernoulli(), binary)
    assert found == pytest.approx(plain)
    found, plain = bits(Categorical(256), grey)
    assert found == pytest.approx(plain)


def test_a_deterministic_code_has_a_distortion_alone():
    found = likelihood(trained_of(model_of().float()), inputs_of(torch.rand(9, 1, 4, 4)), FEW)
    assert [figure.name for figure in found] == ["distortion"]


# --------------------------------------------------------------------- reconstruction


def test_errors_are_those_of_all_examples_at_once():
    model = model_of(shape=(1, 12, 12), value_range=(0.0, 1.0)).float()
    x = torch.rand(50, 1, 12, 12)
    found = by_name(reconstruction(trained_of(model), inputs_of(x), FEW))
    r = model.reconstruct(x)
    mse = (r - x).square().mean()
    assert found["mse"].value == pytest.approx(float(mse), rel=1e-6)
    assert found["psnr"].value == pytest.approx(float(psnr(mse)), rel=1e-6)
    assert found["ssim"].value == pytest.approx(float(ssim(r, x).mean()), rel=1e-5)


def test_a_projection_onto_a_quarter_of_the_dimensions_gains_six_decibels():
    W = torch.linalg.qr(torch.randn(40, 10).double()).Q
    x = torch.randn(3000, 10).double() @ W.T
    found = by_name(reconstruction(trained_of(linear(W.T, W)), inputs_of(x), FEW))
    for sigma in SIGMAS:
        gain = found[f"denoising_gain_{sigma}"]
        assert gain.value == pytest.approx(10 * math.log10(4), abs=4 * gain.error)
        assert gain.error < 0.05
    same = linear(torch.eye(40).double(), torch.eye(40).double())
    found = by_name(reconstruction(trained_of(same), inputs_of(x), FEW))
    assert all(found[f"denoising_gain_{sigma}"].value == 0 for sigma in SIGMAS)


def test_the_wiener_filter_is_scipys_and_the_best_window_counts():
    x = torch.rand(3, 2, 12, 15).double()
    for side, sigma in ((3, 0.1), (5, 0.4)):
        expected = [[scipy.signal.wiener(c.numpy(), side, sigma**2) for c in image] for image in x]
        found = wiener(x, sigma, side).numpy()
        assert np.allclose(found, expected, atol=1e-12)
    flat = torch.full((300, 1, 12, 12), 0.5)
    model = model_of(shape=(1, 12, 12), value_range=(0.0, 1.0)).float()
    gains = by_name(reconstruction(trained_of(model), inputs_of(flat), FEW))
    by_hand = flat + 0.05 * torch.randn(flat.shape)
    left = [float((wiener(by_hand, 0.05, s) - flat).square().mean()) for s in WINDOWS]
    best = gains["denoising_gain_wiener_0.05"]
    assert best.value == pytest.approx(10 * math.log10(0.05**2 / min(left)), abs=0.1)
    assert best.note.startswith(f"windows of {WINDOWS[left.index(min(left))]} ×")


# -------------------------------------------------------------------------------- score


def test_the_score_of_a_gaussian_has_no_error_and_a_smaller_one_its_own():
    """r*(x̃) = x̃/(1 + σ²) of the standard normal density, whose score is −x̃/(1 + σ²)."""

    def measured(factor: float) -> list[float]:
        data = Manifold(MixtureOfGaussians(centres=[[0.0, 0.0]], width=1.0), size=600)
        data.corruption, sigma = GaussianNoise(0.5), 0.5
        shrink = torch.eye(2) * (1 - factor * sigma**2 / (1 + sigma**2))
        found = score(
            trained_of(linear(torch.eye(2), shrink).float()), Inputs(data, data.named("test"))
        )
        return [figure.value for figure in found]

    assert measured(1.0) == pytest.approx([0, 1], abs=1e-5)
    assert measured(0.8) == pytest.approx([0.2, 1], abs=1e-5)
    assert measured(-1.0) == pytest.approx([2, -1], abs=1e-5)


@pytest.mark.parametrize(
    ("noise", "reason"), [(Masking(), "one σ above 0"), (GaussianNoise(0.1, 0.2), "one σ above 0")]
)
def test_no_score_is_learned_from_other_noise(noise, reason):
    data = Manifold(size=30, corruption=noise)
    trained = trained_of(model_of(shape=(2,)).float())
    with pytest.raises(NotDefined, match=reason):
        score(trained, Inputs(data, data.named("test")))
    with pytest.raises(NotDefined, match="Given does not know its density, as Manifold does"):
        score(trained, inputs_of(torch.rand(3, 2)))


# ------------------------------------------------------------- sensitivity and sparsity


def test_jacobians_of_matrices_are_these():
    f, g = torch.randn(3, 7).double(), torch.randn(7, 3).double()
    found = by_name(sensitivity(trained_of(linear(f, g)), inputs_of(torch.randn(5, 7).double())))
    assert found["jacobian"].value == pytest.approx(float(f.square().sum()))
    expected = float((g @ f).square().sum())
    assert found["reconstruction_jacobian"].value == pytest.approx(expected)


def test_sparsity_counts_what_is_used():
    W = torch.eye(6).double()
    x = torch.rand(90, 6).double() * torch.tensor([4.0, 4, 4, 4, 1e-6, 0]).double()
    found = by_name(sparsity(trained_of(linear(W, W, activation=TopK(2))), inputs_of(x), FEW))
    kept = x.topk(2, 1).values
    assert found["l0"].value == 2
    assert found["dead_units"].value == 2
    left = (x.square().sum() - kept.square().sum()) / (x - x.mean(0)).square().sum()
    assert found["explained_variance"].value == pytest.approx(1 - float(left), rel=1e-6)


# ------------------------------------------------------------------------------ memory


def test_figures_do_not_depend_on_the_batch_size():
    model = model_of(posterior=DiagonalGaussian(), value_range=(0.0, 1.0)).float()
    x = torch.randint(0, 256, (70, 1, 4, 4), dtype=torch.uint8)
    for measure in (likelihood, reconstruction, sparsity, information):
        a, b = (
            by_name(measure(trained_of(model), inputs_of(x), FEW._replace(batch_size=size)))
            for size in (7, 70)
        )
        assert a.keys() == b.keys()
        for name, figure in a.items():
            assert figure.value == pytest.approx(b[name].value, rel=1e-4, abs=1e-5), name


def test_no_more_examples_are_measured_than_are_asked_for():
    x = torch.rand(50, 1, 4, 4)
    few = Inputs(inputs_of(x).data, inputs_of(x).groups, 10)
    model = trained_of(model_of().float())
    expected = by_name(reconstruction(model, inputs_of(x[:10]), FEW))["mse"].value
    assert by_name(reconstruction(model, few, FEW))["mse"].value == expected
    assert not np.isnan(expected)
