"""Every system of the notes: a choice of parts that trains, evaluates, and comes back as it was."""

from functools import partial

import pytest
import torch
from torch import distributions as td

from ae_lightning import systems
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.likelihoods import Bernoulli, Gaussian
from ae_lightning.nn import MLP, ConvDecoder, ConvEncoder, Rectifier, Sigmoid, TiedMLP
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from ae_lightning.regularizers.contractive import Contractive
from ae_lightning.regularizers.divergences import Rate
from ae_lightning.regularizers.sparsity import L1
from helpers.pairs import pair_of
from helpers.training import fit

HAND_MADE = {
    "LinearAutoEncoder": lambda: dict(
        encoder=MLP([]), posterior=Dirac(), decoder=MLP([]), likelihood=Gaussian()
    ),
    "UndercompleteAutoEncoder": lambda: dict(
        encoder=MLP(), posterior=Dirac(), decoder=MLP([256, 512]), likelihood=Gaussian()
    ),
    "SparseAutoEncoder": lambda: dict(
        encoder=MLP([]),
        posterior=Dirac(Rectifier()),
        decoder=MLP([], unit_columns=True),
        likelihood=Gaussian(),
        regularizers={"l1": L1(0.3)},
    ),
    "ContractiveAutoEncoder": lambda: dict(
        encoder=MLP([]),
        posterior=Dirac(Sigmoid()),
        decoder=TiedMLP(),
        likelihood=Bernoulli(),
        regularizers={"contractive": Contractive(0.5)},
    ),
    "DenoisingAutoEncoder": lambda: dict(
        encoder=MLP([512]), posterior=Dirac(), decoder=MLP([512]), likelihood=Gaussian()
    ),
    "StochasticAutoEncoder": lambda: dict(
        encoder=MLP(),
        posterior=DiagonalGaussian(),
        decoder=MLP([256, 512]),
        likelihood=Gaussian(0.3, learned=True),
    ),
    "VariationalAutoEncoder": lambda: dict(
        encoder=MLP(),
        posterior=DiagonalGaussian(),
        decoder=MLP([256, 512]),
        likelihood=Gaussian(0.3, learned=True),
        regularizers={"rate": Rate()},
    ),
}
SYSTEMS = [*HAND_MADE, "ImportanceWeightedAutoEncoder"]


def noisy(shape=(1, 8, 8), n=12) -> Pair:
    x = torch.rand(n, *shape)
    return pair_of(x, x + 0.1 * torch.randn_like(x))


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8)])
@pytest.mark.parametrize("latent", [2, 400])
def test_every_system_has_defaults_for_every_shape_and_latent_size(name, shape, latent) -> None:
    model = getattr(systems, name)(shape, latent=latent)
    out = model.propagate(noisy(shape, 3))
    assert out.p.mean.shape == (out.z.shape[0], 3, *shape)
    assert out.z.shape[1:] == (3, latent)
    terms = model.objective(out)
    terms["loss"].backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_a_contractive_autoencoder_of_values_outside_the_unit_interval_is_under_squared_error() -> (
    None
):
    for value_range, kind in (((0.0, 1.0), Bernoulli), ((-1.0, 1.0), Gaussian), (None, Gaussian)):
        model = systems.ContractiveAutoEncoder((3,), latent=5, value_range=value_range)
        assert type(model.likelihood) is kind


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_weight_of_a_system_learns_from_its_loss(name) -> None:
    model = getattr(systems, name)((1, 8, 8), latent=6)
    model.objective(model.propagate(noisy()))["loss"].backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.any(), name


@pytest.mark.parametrize("name", HAND_MADE)
def test_a_system_equals_its_hand_composition_to_the_bit(name, tmp_path) -> None:
    batches, weights = [noisy() for _ in range(3)], []
    for make in (getattr(systems, name), partial(AutoEncoder, **HAND_MADE[name]())):
        torch.manual_seed(3)
        model = make(shape=(1, 8, 8), latent=6)
        fit(model, batches, tmp_path, max_epochs=1)
        weights.append(model.state_dict())
    for a, b in zip(weights[0].values(), weights[1].values(), strict=True):
        assert a.equal(b)


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_comes_back_from_its_checkpoint(name, tmp_path) -> None:
    model = getattr(systems, name)((1, 8, 8), latent=6, seed=5)
    trainer = fit(model, [noisy()], tmp_path, max_epochs=1)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    again = AutoEncoder.load_from_checkpoint(tmp_path / "x.ckpt")
    assert type(again) is type(model)
    assert again.record == model.record
    x = noisy().x
    assert again.code(x).equal(model.eval().code(x))
    assert again.reconstruct(x).equal(model(x))
    if model.held_to_prior:
        assert again.sample(3).shape == (3, 1, 8, 8)


@pytest.mark.parametrize("name", SYSTEMS)
def test_logged_terms_add_up_to_the_loss(name, tmp_path) -> None:
    model = getattr(systems, name)((1, 8, 8), latent=6)
    logged = fit(model, [noisy()], tmp_path, max_epochs=1).callback_metrics
    for stage in ("train", "val"):
        bound = "bound" if f"{stage}/bound" in logged else "distortion"
        total = logged[f"{stage}/{bound}"].double()
        for penalty, weight in model.weights().items():
            total += weight * logged[f"{stage}/{penalty}"].double()
        assert torch.isclose(total, logged[f"{stage}/loss"].double(), rtol=1e-6)
    if model.posterior.stochastic:
        assert torch.isclose(logged["val/elbo"], -logged["val/distortion"] - logged["val/rate"])


@pytest.mark.parametrize("name", SYSTEMS)
def test_doubling_the_batch_keeps_the_loss_and_doubling_the_pixels_doubles_the_distortion(name):
    torch.manual_seed(0)
    model = getattr(systems, name)((1, 8, 8), latent=6).double().eval()
    small = noisy()
    one = Pair(small.x_tilde.double(), small.x.double(), small.y, small.places)
    two = Pair(*(torch.cat([t, t]) for t in one))
    losses = [model.objective(model.propagate(p))["loss"] for p in (one, two)]
    assert torch.isclose(*losses, rtol=1e-12)
    out = model.propagate(one)
    log_p = out.p.base_dist.log_prob(out.x)  # (R, B, 1, 8, 8)
    twice = torch.cat([log_p, log_p], dim=-1).sum((2, 3, 4))
    assert torch.allclose(-twice.mean(0), 2 * model.distortion(out), rtol=1e-12)


@pytest.mark.parametrize("name", SYSTEMS)
def test_more_samples_are_drawn_where_the_posterior_is_stochastic(name) -> None:
    model = getattr(systems, name)((1, 8, 8), latent=6, samples=7)
    assert len(model.propagate(noisy()).z) == (7 if model.posterior.stochastic else 1)


def test_convolutional_parts_serve_a_system() -> None:
    model = systems.VariationalAutoEncoder((3, 32, 32), 8, ConvEncoder(), ConvDecoder())
    model.objective(model.propagate(noisy((3, 32, 32), 2)))["loss"].backward()


def test_a_denoising_autoencoder_refuses_clean_pairs(tmp_path) -> None:
    x = torch.rand(4, 1, 8, 8)
    with pytest.raises(UsageError, match=r"GaussianNoise\(sigma=0.3\)"):
        fit(systems.DenoisingAutoEncoder((1, 8, 8)), [pair_of(x)], tmp_path, max_epochs=1)


def test_what_is_encoded_is_corrupted_and_what_is_to_be_reconstructed_is_clean() -> None:
    model, pair = systems.DenoisingAutoEncoder((1, 8, 8)).double(), noisy()
    pair = Pair(*(t.double() for t in pair))
    r = model.reconstruct(pair.x_tilde)
    log_p = td.Normal(r, 1.0).log_prob(pair.x).sum((1, 2, 3))
    assert torch.isclose(model.objective(model.propagate(pair))["loss"], -log_p.mean(), rtol=1e-12)


@pytest.mark.parametrize("R", [1, 5, 50])
def test_the_importance_weighted_bound_and_its_gradient_are_those_of_its_definition(R) -> None:
    model = systems.ImportanceWeightedAutoEncoder((1, 8, 8), samples=R).double()
    out = model.propagate(Pair(*(t.double() for t in noisy())))
    mu, log_sigma = out.features.chunk(2, 1)
    log_p = td.Normal(out.p.mean, model.likelihood.sigma).log_prob(out.x).flatten(2).sum(2)
    log_prior, log_q = td.Normal(0, 1), td.Normal(mu, log_sigma.exp())
    log_w = log_p + (log_prior.log_prob(out.z) - log_q.log_prob(out.z)).sum(2)  # (R, B)
    shift = log_w.detach().amax(0)
    by_hand = -(shift + (log_w - shift).exp().mean(0).log()).mean()
    bound = model.objective(out)["bound"]
    assert torch.isclose(bound, by_hand, rtol=1e-12)
    [g], [slow] = (
        torch.autograd.grad(L, out.features, retain_graph=True) for L in (bound, by_hand)
    )
    assert torch.allclose(g, slow, rtol=1e-9)


def test_the_importance_weighted_bound_at_one_sample_is_the_elbo_and_refuses_a_rate() -> None:
    model = systems.ImportanceWeightedAutoEncoder((1, 8, 8), samples=1).double().eval()
    p = noisy()
    out = model.propagate(Pair(p.x_tilde.double(), p.x.double(), p.y, p.places))
    terms = model.objective(out)
    rate = (out.q.log_prob(out.z) - model.prior().log_prob(out.z)).mean()
    assert torch.isclose(terms["bound"], terms["distortion"] + rate, rtol=1e-10)
    with pytest.raises(UsageError, match="drop Rate"):
        systems.ImportanceWeightedAutoEncoder((1, 8, 8), regularizers={"rate": Rate()})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (dict(latent=0), "latent 0"),
        (dict(likelihood=Bernoulli(), value_range=None), "Bernoulli is for data in"),
        (dict(regularizers={"loss": Rate()}), "cannot be named loss"),
        (dict(regularizers={"a b": Rate()}), "cannot be named a b"),
    ],
)
def test_contradictory_parts_are_named(arguments, said) -> None:
    with pytest.raises(UsageError, match=said):
        systems.VariationalAutoEncoder((1, 8, 8), **arguments)


def test_a_rate_of_a_point_mass_is_refused() -> None:
    with pytest.raises(UsageError, match="stochastic posterior"):
        systems.UndercompleteAutoEncoder((1, 8, 8), regularizers={"rate": Rate()})
