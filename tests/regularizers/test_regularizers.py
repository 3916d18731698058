"""Every penalty against an independent formula, and what all of them must keep."""

import copy
import math
import warnings

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import Tensor
from torch import distributions as td

from ae_lightning import priors
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import rebuild
from ae_lightning.core.types import ForwardPass, Pair
from ae_lightning.likelihoods import Bernoulli, Gaussian
from ae_lightning.nn import (
    MLP,
    ConvDecoder,
    ConvEncoder,
    Network,
    Rectifier,
    Sigmoid,
    TiedMLP,
    TopK,
    UnitVariance,
)
from ae_lightning.posteriors import DiagonalGaussian, Dirac
from ae_lightning.regularizers import (
    L1,
    L2,
    MMD,
    Contractive,
    ContractiveHessian,
    DecoderNorm,
    DegenerateObjective,
    GaussianKernel,
    InverseMultiquadratic,
    Orthogonality,
    Rate,
    ReconstructionContractive,
    Regularizer,
    SparsityKL,
    StudentT,
    TotalCorrelation,
)
from ae_lightning.schedules import Clock, Linear
from helpers.closeness import close
from helpers.models import LATENT as K
from helpers.models import SHAPE, model_of
from helpers.pairs import pair_of
from helpers.training import fit, loader, quiet_trainer

B = 6

STOCHASTIC = {
    "rate": Rate,
    "rate_free_bits": lambda w: Rate(w, free_bits=0.01),
    "rate_capacity": lambda w: Rate(w, capacity=5.0),
    "total_correlation": lambda w: TotalCorrelation(w, dataset_size=100),
}
PLUGINS = {
    "l1": lambda w: L1(w, scale=0.5),
    "student_t": lambda w: StudentT(w, df=2.0, scale=0.7),
    "l2": L2,
    "sparsity_kl": SparsityKL,
    "contractive": Contractive,
    "contractive_projected": lambda w: Contractive(w, projections=2),
    "reconstruction": lambda w: ReconstructionContractive(w, projections=None),
    "reconstruction_projected": ReconstructionContractive,
    "hessian": ContractiveHessian,
    "hessian_projected": lambda w: ContractiveHessian(w, projections=2),
    "mmd": MMD,
    "mmd_gaussian": lambda w: MMD(w, kernel=GaussianKernel(0.5)),
    "decoder_norm": DecoderNorm,
    "orthogonality": Orthogonality,
    **STOCHASTIC,
}
BATCH_ONLY = {"mmd", "mmd_gaussian"}  # the unbiased estimator leaves out pairs of one with itself

pytestmark = pytest.mark.filterwarnings("ignore::ae_lightning.regularizers.DegenerateObjective")


def penalised(regularizers=None, posterior=None, **parts) -> AutoEncoder:
    parts = {"samples": 2, "value_range": (0.0, 1.0), **parts}
    return model_of(posterior=posterior or Dirac(Sigmoid()), regularizers=regularizers, **parts)


def model_with(name: str, weight=0.7) -> AutoEncoder:
    posterior = DiagonalGaussian() if name in STOCHASTIC else Dirac(Sigmoid())
    return penalised({name: PLUGINS[name](weight)}, posterior)


def batch_of(n=B, corrupted=False) -> Pair:
    generator = torch.Generator().manual_seed(4)
    x = torch.rand(n, *SHAPE, generator=generator, dtype=torch.float64)
    x_tilde = x + 0.3 * torch.randn(x.shape, generator=generator) if corrupted else x
    return pair_of(x, x_tilde)


def doubled(pair: Pair) -> Pair:
    return Pair(*(torch.cat([t, t]) for t in pair))


def penalty_of(regularizer: Regularizer, model: AutoEncoder, out: ForwardPass) -> Tensor:
    return regularizer(model, out)


def gaussian_pass(mu: Tensor, sigma: Tensor, R=1, features=None) -> ForwardPass:
    """A pass whose posterior is N(mu, diag sigma²), all else being empty."""
    q = td.Independent(td.Normal(mu, sigma), 1)
    x = torch.zeros(len(mu), *SHAPE, dtype=mu.dtype)
    features = torch.cat([mu, sigma.log()], 1)
    return ForwardPass(x, x, features, q, q.rsample((R,)), q)


# ------------------------------------------------------------- every plug-in


@pytest.mark.parametrize("corrupted", [False, True])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", PLUGINS)
def test_raw_terms_and_weights_add_up_to_the_loss(name, training, corrupted) -> None:
    model = model_with(name).train(training)
    terms = model.objective(model.propagate(batch_of(corrupted=corrupted)))
    assert terms.keys() == {"loss", "distortion", name}
    assert terms["loss"].equal(terms["distortion"] + 0.7 * terms[name])


def test_many_terms_and_weights_add_up_to_the_loss() -> None:
    names = [n for n in PLUGINS if n != "sparsity_kl"]
    schedules = [Linear(0.1, 0.9, steps=10), 0.5, -0.2]
    regularizers = {n: PLUGINS[n](schedules[i % 3]) for i, n in enumerate(names)}
    model = penalised(regularizers, DiagonalGaussian())
    model.clock = Clock(step=5)
    terms = model.objective(model.propagate(batch_of()))
    total, weights = terms["distortion"], model.weights()
    assert weights["l1"] == 0.5
    for name in names:
        total = total + weights[name] * terms[name]
    assert terms["loss"].equal(total)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", PLUGINS)
def test_a_penalty_is_finite_and_per_example_or_of_the_batch(name, training) -> None:
    model = model_with(name).train(training)
    penalty = model.regularizers[name](model, model.propagate(batch_of()))
    assert penalty.shape in {(), (B,)}
    assert penalty.isfinite().all()


@pytest.mark.parametrize("name", PLUGINS)
def test_a_penalty_reaches_the_weights(name) -> None:
    model = model_with(name)
    penalty = model.regularizers[name](model, model.propagate(batch_of())).mean()
    gradients = torch.autograd.grad(penalty, list(model.parameters()), allow_unused=True)
    assert any(g is not None and g.abs().max() > 0 for g in gradients)
    assert all(g is None or g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("name", PLUGINS.keys() - BATCH_ONLY)
def test_doubling_the_batch_leaves_the_mean(name) -> None:
    model, pair = model_with(name).eval(), batch_of()
    regularizer = model.regularizers[name]
    once = regularizer(model, model.propagate(pair)).mean()
    twice = regularizer(model, model.propagate(doubled(pair))).mean()
    assert close(twice, once.item())


@pytest.mark.parametrize("name", PLUGINS)
def test_evaluation_is_repeatable_and_leaves_the_random_state(name) -> None:
    model = model_with(name).eval()
    out = model.propagate(batch_of())
    state = torch.get_rng_state()
    values = [model.regularizers[name](model, out) for _ in range(2)]
    assert values[0].equal(values[1])
    assert torch.get_rng_state().equal(state)


def trained(regularizers, posterior, folder) -> list[Tensor]:
    model = penalised(regularizers, posterior)
    batches = [batch_of(corrupted=True)] * 3
    fit(model, batches, folder, max_steps=3, num_sanity_val_steps=0, limit_val_batches=0)
    return [*model.parameters(), *model.posterior.buffers()]


@pytest.mark.parametrize("posterior", [lambda: Dirac(Sigmoid()), DiagonalGaussian])
def test_weight_0_equals_absence_to_the_bit(posterior, tmp_path) -> None:
    stochastic = posterior().stochastic
    names = PLUGINS.keys() - ({"sparsity_kl"} if stochastic else STOCHASTIC.keys())
    absent = trained({}, posterior(), tmp_path)
    for name in sorted(names):
        present = trained({name: PLUGINS[name](0.0)}, posterior(), tmp_path)
        assert all(a.equal(b) for a, b in zip(absent, present, strict=True)), name
    moved = trained({"l2": L2(0.5)}, posterior(), tmp_path)
    assert not all(a.equal(b) for a, b in zip(absent, moved, strict=True))


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plug_in_is_rebuilt_from_its_record_and_copied(name) -> None:
    model, pair = model_with(name).eval(), batch_of()
    regularizer = model.regularizers[name]
    again = rebuild(regularizer.record)
    assert type(again) is type(regularizer)
    out = model.propagate(pair)
    assert again(model, out).equal(regularizer(model, out))
    assert copy.deepcopy(model).objective(out)["loss"].equal(model.objective(out)["loss"])


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plug_in_is_made_from_yaml(name) -> None:
    schedule = Linear(0, 2, steps=4)
    record = PLUGINS[name](schedule).record
    parser = ArgumentParser()
    parser.add_argument("--regularizers", type=dict[str, Regularizer])
    given = parser.parse_object({"regularizers": {name: record}})
    [regularizer] = parser.instantiate_classes(given).regularizers.values()
    assert regularizer.record == record
    assert regularizer.weight_at(Clock(step=1)) == 0.5
    assert len(regularizer.schedules) == 1


# --------------------------------------------------------- priors as penalties


@pytest.mark.parametrize("posterior", [lambda: Dirac(Sigmoid()), DiagonalGaussian])
def test_priors_as_penalties_are_their_densities_but_for_constants(posterior) -> None:
    """−log Laplace(z; λ) = λ‖z‖₁ − K log(λ/2), and the like."""
    model = penalised({}, posterior(), samples=3)
    out, lam = model.propagate(batch_of()), 2.5
    z = out.z
    laplace = td.Laplace(torch.zeros(()).double(), 1 / lam)
    for penalty in (lam * penalty_of(L1(), model, out), penalty_of(L1(scale=1 / lam), model, out)):
        assert close(penalty - K * math.log(lam / 2), -laplace.log_prob(z).sum(-1).mean(0))
    for regularizer, prior in {
        L2(): td.Normal(torch.zeros(()).double(), 1.0),
        StudentT(df=3.0, scale=0.4): td.StudentT(3.0, torch.zeros(()).double(), 0.4),
    }.items():
        constant = prior.log_prob(torch.zeros(()).double())
        assert close(
            penalty_of(regularizer, model, out), (constant - prior.log_prob(z)).sum(-1).mean(0)
        )
    assert close(penalty_of(StudentT(), model, out), z.square().log1p().sum(-1).mean(0))


def test_map_under_a_laplace_prior_is_the_soft_threshold() -> None:
    """argmin (x − z)²/(2σ²) + λ|z| = sign(x) max(|x| − λσ², 0)."""
    x, sigma, lam = torch.linspace(-3, 3, 13).double(), 0.8, 1.5
    model = penalised()
    grid = torch.linspace(-4, 4, 80001).double()
    q = td.Independent(td.Normal(torch.zeros(len(grid), 1).double(), 1.0), 1)
    empty = torch.zeros(len(grid), *SHAPE).double()
    out = ForwardPass(empty, empty, grid[:, None], q, grid[None, :, None], q)
    penalty = penalty_of(L1(scale=1 / lam), model, out)  # (grid,)
    energy = (x[:, None] - grid).square() / (2 * sigma**2) + penalty
    threshold = x.sign() * (x.abs() - lam * sigma**2).clamp(min=0)
    assert (grid[energy.argmin(1)] - threshold).abs().max() < 1e-4


def test_sparsity_is_the_divergence_of_batch_mean_activations() -> None:
    model, rho = penalised(), 0.1
    out = model.propagate(batch_of())
    rho_hat = out.q.mean.mean(0)
    by_hand = rho * (rho / rho_hat).log() + (1 - rho) * ((1 - rho) / (1 - rho_hat)).log()
    assert close(penalty_of(SparsityKL(target=rho), model, out), by_hand.sum())


def test_sparsity_of_saturated_units_is_finite() -> None:
    model = penalised()
    with torch.no_grad():
        model.encoder.layers[-1].bias.copy_(torch.tensor([-1e4, 1e4, 0.0]))
    out = model.propagate(batch_of())
    assert penalty_of(SparsityKL(), model, out).isfinite()


# ------------------------------------------------------------------ Jacobians


def slow_jacobian(f, x: Tensor) -> Tensor:
    one = torch.autograd.functional.jacobian
    return torch.stack([one(lambda t: f(t[None])[0].flatten(), xi).flatten(1) for xi in x])


def squared_norm(J: Tensor) -> Tensor:
    return J.square().flatten(1).sum(1)


@pytest.mark.parametrize("corrupted", [False, True])
@pytest.mark.parametrize("encoder", [lambda: MLP([]), lambda: MLP([7, 5]), ConvEncoder])
def test_contractive_is_the_squared_jacobian_at_the_clean_input(encoder, corrupted) -> None:
    model = penalised(encoder=encoder())
    out = model.propagate(batch_of(corrupted=corrupted))
    assert close(
        penalty_of(Contractive(), model, out), squared_norm(slow_jacobian(model.code, out.x))
    )


def test_contractive_of_one_sigmoid_layer_has_a_closed_form() -> None:
    """Σ_k (h_k (1 − h_k))² ‖W_k‖²."""
    model = penalised(encoder=MLP([]), decoder=TiedMLP())
    out = model.propagate(batch_of())
    h, W = out.q.mean, model.encoder.layers[0].weight
    assert close(
        penalty_of(Contractive(), model, out),
        ((h * (1 - h)).square() * W.square().sum(1)).sum(1),
    )


@pytest.mark.parametrize(
    ("projected", "f"),
    [
        (Contractive(projections=1), "code"),
        (ReconstructionContractive(projections=1), "reconstruct"),
    ],
)
@pytest.mark.parametrize("encoder", [lambda: MLP([7]), lambda: ConvEncoder([4], hidden=5)])
def test_a_random_projection_is_unbiased_with_the_known_variance(projected, f, encoder) -> None:
    """E‖uᵀJ‖² = ‖J‖²_F, with variance 2‖JJᵀ‖²_F."""
    n, model = 40_000, penalised(encoder=encoder())
    one = batch_of(1)
    out = model.propagate(Pair(*(t.expand(n, *t.shape[1:]) for t in one)))
    draws = penalty_of(projected, model, out).detach()  # (n,) independent draws at one point
    [J] = slow_jacobian(getattr(model, f), one.x)
    exact, variance = J.square().sum(), 2 * (J @ J.T).square().sum()
    assert draws.mean() / exact == pytest.approx(1, abs=0.02)
    assert draws.var() / variance == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("n", [1, 4])
def test_more_projections_are_averaged(n) -> None:
    model = penalised()
    one = batch_of(1)
    out = model.propagate(Pair(*(t.expand(20_000, *t.shape[1:]) for t in one)))
    [J] = slow_jacobian(model.code, one.x)
    for regularizer in (Contractive(projections=n), ContractiveHessian(gamma=0.0, projections=n)):
        draws = penalty_of(regularizer, model, out).detach()
        assert draws.mean() / J.square().sum() == pytest.approx(1, abs=0.02)
        variance = 2 * (J @ J.T).square().sum() / n
        assert draws.var() / variance == pytest.approx(1, abs=0.1)


def test_evaluation_of_a_projected_penalty_is_exact() -> None:
    model = penalised().eval()
    out = model.propagate(batch_of())
    J, J_r = slow_jacobian(model.code, out.x), slow_jacobian(model.reconstruct, out.x)
    assert close(penalty_of(Contractive(projections=1), model, out), squared_norm(J))
    assert close(penalty_of(ReconstructionContractive(), model, out), squared_norm(J_r))
    assert close(
        penalty_of(ContractiveHessian(gamma=0.0, projections=1), model, out), squared_norm(J)
    )


@pytest.mark.parametrize("likelihood", [Gaussian, Bernoulli])
def test_reconstruction_contractive_is_the_squared_jacobian_of_r(likelihood) -> None:
    model = penalised(likelihood=likelihood())
    out = model.propagate(batch_of(corrupted=True))
    expected = squared_norm(slow_jacobian(model.reconstruct, out.x))
    assert close(penalty_of(ReconstructionContractive(projections=None), model, out), expected)


def test_contractive_hessian_adds_how_much_the_jacobian_changes() -> None:
    model, gamma, sigma, samples = penalised(), 3.0, 0.2, 4
    out = model.propagate(batch_of())
    torch.manual_seed(8)
    penalty = penalty_of(ContractiveHessian(1.0, gamma, sigma, samples), model, out)
    torch.manual_seed(8)
    epsilon = sigma * torch.randn(samples, B, *SHAPE, dtype=torch.float64)
    J = slow_jacobian(model.code, out.x)
    changes = [squared_norm(J - slow_jacobian(model.code, out.x + e)) for e in epsilon]
    assert close(penalty, squared_norm(J) + gamma * torch.stack(changes).mean(0))


def test_contractive_hessian_tends_to_the_hessian() -> None:
    """E‖J(x) − J(x + ε)‖² → σ² ‖∂²f/∂x²‖² as σ → 0."""
    model, sigma = penalised().eval(), 1e-3
    out = model.propagate(batch_of(2))
    change = penalty_of(ContractiveHessian(1.0, 1.0, sigma, 3000), model, out) - penalty_of(
        Contractive(), model, out
    )
    hessian = torch.autograd.functional.hessian
    for i, x in enumerate(out.x):
        H = torch.stack([hessian(lambda t, k=k: model.code(t[None])[0, k], x) for k in range(K)])
        assert change[i].item() == pytest.approx(sigma**2 * H.square().sum().item(), rel=0.05)


def test_contractive_works_in_validation(tmp_path) -> None:
    model = penalised({"c": Contractive(0.1, projections=1), "h": ContractiveHessian(0.1)})
    trainer = quiet_trainer(tmp_path, inference_mode=False)
    [values] = trainer.validate(model, loader([batch_of()]), verbose=False)
    exact = squared_norm(slow_jacobian(model.eval().code, batch_of().x)).mean()
    assert values["val/c"] == pytest.approx(exact.item(), rel=1e-6)
    assert values["val/jacobian"] == pytest.approx(exact.item(), rel=1e-6)


# ------------------------------------------------------------- the posterior


def test_rate_is_torchs_divergence() -> None:
    """KL(N(μ, σ²) ‖ N(0, I)) = Σ_k (μ_k² + σ_k² − 1 − 2 log σ_k) / 2."""
    model = penalised({}, DiagonalGaussian())
    out = model.propagate(batch_of())
    p = td.Independent(td.Normal(torch.zeros(K).double(), 1.0), 1)
    assert close(penalty_of(Rate(), model, out), td.kl_divergence(out.q, p))
    mu, sigma = out.q.mean, out.q.stddev
    by_hand = (mu.square() + sigma.square() - 1 - 2 * sigma.log()).sum(1) / 2
    assert close(penalty_of(Rate(), model, out), by_hand)


def test_rate_without_a_closed_form_is_monte_carlo() -> None:
    model = penalised({"rate": Rate()}, DiagonalGaussian(), prior=priors.GaussianMixture())
    out = model.propagate(batch_of())
    p = model.prior()
    assert close(
        penalty_of(Rate(), model, out), (out.q.log_prob(out.z) - p.log_prob(out.z)).mean(0)
    )


def test_monte_carlo_rate_agrees_with_quadrature() -> None:
    mu, sigma = torch.tensor([[0.7]]).double(), torch.tensor([[0.5]]).double()
    model = model_of(posterior=DiagonalGaussian(), latent=1, prior=priors.GaussianMixture())
    q, p = td.Normal(mu[0], sigma[0]), model.prior()
    t = torch.linspace(-5, 6, 200_001).double()
    ratio = q.log_prob(t) - p.log_prob(t[:, None])
    exact = torch.trapezoid(q.log_prob(t).exp() * ratio, t).item()
    estimate = penalty_of(Rate(), model, gaussian_pass(mu, sigma, R=200_000)).item()
    assert estimate == pytest.approx(exact, abs=0.02)


def test_free_bits_are_free_on_the_batch_mean_of_each_dimension() -> None:
    mu = torch.tensor([[0.0, 2.0, 0.1], [1.0, 0.0, 0.1]]).double()
    out = gaussian_pass(mu, torch.ones_like(mu))
    model = penalised({}, DiagonalGaussian())
    rates = mu.square() / 2  # (B, K), at σ = 1; batch means .25, 1, .005
    expected = 0.3 + 1.0 + 0.3
    assert close(penalty_of(Rate(free_bits=0.3), model, out), expected)
    assert close(penalty_of(Rate(free_bits=1e-9), model, out), rates.sum(1).mean())


def test_free_bits_leave_no_pull_below_them() -> None:
    mu = torch.tensor([[0.1, 3.0, 0.0]]).double().requires_grad_()
    out = gaussian_pass(mu, torch.ones_like(mu))
    [gradient] = torch.autograd.grad(penalty_of(Rate(free_bits=0.5), penalised(), out), mu)
    assert close(gradient, torch.tensor([[0.0, 3.0, 0.0]]))


@pytest.mark.parametrize("free_bits", [0.0, 0.3])
def test_capacity_holds_the_mean_rate_to_it(free_bits) -> None:
    model = penalised({}, DiagonalGaussian())
    out = model.propagate(batch_of())
    R = penalty_of(Rate(free_bits=free_bits), model, out).mean()
    assert close(penalty_of(Rate(free_bits=free_bits, capacity=7.0), model, out), (7 - R).abs())
    assert close(penalty_of(Rate(free_bits=free_bits, capacity=0), model, out), R)
    model.clock = Clock(step=5)
    rising = Rate(free_bits=free_bits, capacity=Linear(0, 20, steps=10))
    assert close(penalty_of(rising, model, out), (10 - R).abs())


@pytest.mark.parametrize("N", [None, 50])
def test_total_correlation_is_its_double_sum(N) -> None:
    model = penalised({}, DiagonalGaussian(), samples=2)
    with torch.no_grad():
        out = model.propagate(batch_of())
    mu, sigma = out.q.mean, out.q.stddev
    expected = torch.zeros(B).double()
    for i in range(B):
        for z in out.z[:, i]:
            joint, factors = 0.0, [0.0] * K
            for j in range(B):
                p = [td.Normal(mu[j, k], sigma[j, k]).log_prob(z[k]).exp() for k in range(K)]
                joint = joint + math.prod(p)
                factors = [f + pk for f, pk in zip(factors, p, strict=True)]
            joint, factors = joint / (B * (N or 1)), [f / (B * (N or 1)) for f in factors]
            expected[i] += (math.log(joint) - sum(map(math.log, factors))) / 2
    assert close(penalty_of(TotalCorrelation(dataset_size=N), model, out), expected)


def test_total_correlation_of_a_correlated_gaussian_is_known() -> None:
    rho, s, n = 0.8, 0.5, 2000
    L = torch.linalg.cholesky(torch.tensor([[1.0, rho], [rho, 1.0]]).double())
    mu = torch.randn(n, 2).double() @ L.T
    C = L @ L.T + s**2 * torch.eye(2).double()  # the aggregated posterior's covariance
    exact = (C.diagonal().log().sum() - C.logdet()).item() / 2
    out = gaussian_pass(mu, torch.full_like(mu, s))
    estimate = penalty_of(TotalCorrelation(), penalised(), out).mean().item()
    assert estimate == pytest.approx(exact, abs=0.05)
    independent = gaussian_pass(torch.randn(n, 2).double(), torch.full_like(mu, s))
    assert abs(penalty_of(TotalCorrelation(), penalised(), independent).mean().item()) < 0.05


def slow_mmd(k, z: Tensor, y: Tensor) -> float:
    n, total = len(z), 0.0
    for i in range(n):
        for j in range(n):
            if i != j:
                total += (k(z[i], z[j]) + k(y[i], y[j])) / (n * (n - 1))
            total -= 2 * k(z[i], y[j]) / n**2
    return total


@pytest.mark.parametrize(
    ("kernel", "k"),
    [
        (None, lambda t: 1 / (1 + t)),
        (InverseMultiquadratic(2.0), lambda t: 1 / (1 + t / 4)),
        (GaussianKernel(0.5), lambda t: math.exp(-4 * t)),
    ],
)
def test_mmd_is_its_double_sum(kernel, k) -> None:
    model = penalised({}, DiagonalGaussian(), samples=2)
    out = model.propagate(batch_of())
    torch.manual_seed(5)
    penalty = penalty_of(MMD(kernel=kernel), model, out)
    torch.manual_seed(5)
    y = model.prior().sample((B,))

    def kernel_by_hand(a: Tensor, b: Tensor) -> float:
        return k((a - b).square().sum().item() / (2 * K))

    assert close(penalty, sum(slow_mmd(kernel_by_hand, z, y) for z in out.z) / 2)


@pytest.mark.parametrize("kernel", [None, GaussianKernel()])
def test_mmd_is_unbiased_and_tells_distributions_apart(kernel) -> None:
    model, values = penalised(), []
    for shift in (0.0, 1.0):
        n, empty = 64, torch.zeros(64, *SHAPE).double()
        draws = []
        for _ in range(200):
            z = torch.randn(1, n, K).double() + shift
            out = ForwardPass(empty, empty, z[0], model.prior(), z, model.prior())
            draws.append(penalty_of(MMD(kernel=kernel), model, out))
        values.append(torch.stack(draws))
    equal, apart = values
    assert abs(equal.mean()) < 4 * equal.std() / math.sqrt(len(equal))
    assert equal.min() < 0 < apart.min()


def test_mmd_of_a_batch_of_one_is_finite() -> None:
    model = penalised().eval()
    assert penalty_of(MMD(), model, model.propagate(batch_of(1))).isfinite()


# ---------------------------------------------------------------- the decoder


def test_decoder_norm_counts_every_parameter_once() -> None:
    model = penalised()
    out = model.propagate(batch_of())
    parameters = model.decoder.parameters()
    assert close(penalty_of(DecoderNorm(), model, out), sum(p.square().sum() for p in parameters))


def test_decoder_norm_counts_tied_weights_once() -> None:
    model = penalised(decoder=TiedMLP())
    out = model.propagate(batch_of())
    weights = [layer.weight for layer in model.encoder.layers]
    by_hand = sum(p.square().sum() for p in [*weights, *model.decoder.biases])
    assert close(penalty_of(DecoderNorm(), model, out), by_hand)


@pytest.mark.parametrize(
    ("decoder", "atoms"),
    [
        (lambda: MLP([7]), lambda m: m.decoder.layers[0].weight),
        (TiedMLP, lambda m: m.encoder.layers[-1].weight.T),
        (lambda: ConvDecoder([4], hidden=9), lambda m: m.decoder.layers[1].weight),
    ],
)
def test_orthogonality_is_the_distance_of_the_gram_matrix_from_identity(decoder, atoms) -> None:
    model = penalised({"orthogonality": Orthogonality()}, decoder=decoder())
    out = model.propagate(batch_of())
    W = atoms(model)
    by_hand = sum(
        ((W[:, i] @ W[:, j]) - float(i == j)).square() for i in range(K) for j in range(K)
    )
    assert close(penalty_of(Orthogonality(), model, out), by_hand)


def test_orthonormal_atoms_cost_nothing() -> None:
    model = penalised(decoder=MLP([]))
    with torch.no_grad():
        model.decoder.layers[0].weight.copy_(torch.linalg.qr(torch.randn(16, K)).Q)
    out = model.propagate(batch_of())
    assert penalty_of(Orthogonality(), model, out) < 1e-10


# --------------------------------------------------- what a plug-in asks for


def raised(*regularizers, **parts) -> str:
    with pytest.raises(UsageError) as error:
        penalised({f"r{i}": r for i, r in enumerate(regularizers)}, **parts)
    return str(error.value)


@pytest.mark.parametrize("regularizer", [Rate(), Rate(free_bits=1.0), TotalCorrelation()])
def test_a_rate_needs_a_stochastic_posterior(regularizer) -> None:
    said = raised(regularizer, posterior=Dirac())
    assert said == (
        f"{type(regularizer).__name__} needs a stochastic posterior such as DiagonalGaussian, "
        "not Dirac."
    )


@pytest.mark.parametrize("prior", [priors.GaussianMixture, priors.VampPrior])
def test_free_bits_need_a_prior_that_is_a_product(prior) -> None:
    said = raised(Rate(free_bits=0.1), posterior=DiagonalGaussian(), prior=prior())
    assert "free_bits needs a product over the code's dimensions" in said
    penalised({"r": Rate(free_bits=0.1)}, DiagonalGaussian(), prior=priors.LaplacePrior())


@pytest.mark.parametrize("posterior", [Dirac, lambda: Dirac(Rectifier()), DiagonalGaussian])
def test_sparsity_needs_a_sigmoid_code(posterior) -> None:
    assert "use the posterior Dirac(Sigmoid())" in raised(SparsityKL(), posterior=posterior())


def test_orthogonality_needs_a_decoder_with_atoms() -> None:
    class Mine(Network):
        def build(self, inputs, outputs, mirror=None) -> None:
            self.map = torch.nn.Linear(inputs[0], 16)

        def forward(self, z: Tensor) -> Tensor:
            return self.map(z).unflatten(1, SHAPE)

    assert raised(Orthogonality(), decoder=Mine()).startswith("Mine does not name")


def warned(*regularizers, **parts) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        penalised({f"r{i}": r for i, r in enumerate(regularizers)}, **parts)
    return [str(w.message) for w in caught if w.category is DegenerateObjective]


JACOBIANS = [Contractive, ContractiveHessian]


@pytest.mark.parametrize("kind", [*JACOBIANS, L1, L2, StudentT])
def test_a_code_whose_scale_is_free_warns(kind) -> None:
    for posterior in (Dirac(), Dirac(Sigmoid()), Dirac(TopK(2)), DiagonalGaussian()):
        [said] = warned(kind(), posterior=posterior)
        assert said.startswith(f"{kind.__name__} can be lowered for free")


@pytest.mark.parametrize("kind", [*JACOBIANS, L1, L2, StudentT])
@pytest.mark.parametrize(
    "parts",
    [
        lambda: {"posterior": Dirac(UnitVariance())},
        lambda: {"posterior": Dirac(), "decoder": TiedMLP()},
        lambda: {"posterior": Dirac(), "decoder": MLP([], unit_columns=True)},
        lambda: {"posterior": DiagonalGaussian(sigma=0.1)},
    ],
)
def test_a_code_whose_scale_is_held_does_not(kind, parts) -> None:
    assert not warned(kind(), **parts())


@pytest.mark.parametrize("other", [Rate, MMD, DecoderNorm, Orthogonality])
def test_a_penalty_on_the_scale_holds_it(other) -> None:
    assert not warned(L1(), other(), posterior=DiagonalGaussian())
    assert not warned(other(), Contractive(), posterior=DiagonalGaussian())


@pytest.mark.parametrize("activation", ["ReLU", "LeakyReLU", "Hardtanh"])
def test_a_jacobian_through_piecewise_linear_units_warns(activation) -> None:
    for kind in (*JACOBIANS, ReconstructionContractive):
        parts = {"encoder": MLP([7], activation), "posterior": Dirac(UnitVariance())}
        [said] = warned(kind(), **parts)
        assert said.startswith(f"{kind.__name__} through {activation} only shrinks weights")
    [said] = warned(ReconstructionContractive(), decoder=MLP([7], activation), posterior=Dirac())
    assert activation in said


def test_a_jacobian_through_smooth_units_does_not() -> None:
    for kind in (*JACOBIANS, ReconstructionContractive):
        assert not warned(kind(), posterior=Dirac(UnitVariance()))
        assert not warned(kind(), encoder=MLP([7], "ReLU"), decoder=TiedMLP())  # a sigmoid code


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: L1(math.nan), "weight is nan"),
        (lambda: Rate(math.inf), "weight is inf"),
        (lambda: L2("0.1"), "weight is '0.1'"),
        (lambda: L1(scale=0.0), r"scale is 0\.0"),
        (lambda: StudentT(df=-1.0), r"df is -1\.0"),
        (lambda: SparsityKL(target=1.0), r"target is 1\.0"),
        (lambda: Contractive(projections=0), "projections is 0"),
        (lambda: ReconstructionContractive(projections=-1), "projections is -1"),
        (lambda: ContractiveHessian(sigma=0.0), r"sigma is 0\.0"),
        (lambda: ContractiveHessian(samples=0), "samples 0"),
        (lambda: Rate(free_bits=-0.1), r"free_bits is -0\.1"),
        (lambda: Rate(capacity=-2.0), r"capacity is -2\.0"),
        (lambda: TotalCorrelation(dataset_size=0), "dataset_size is 0"),
        (lambda: GaussianKernel(math.nan), "scale is nan"),
    ],
)
def test_wrong_arguments_are_named(make, said) -> None:
    with pytest.raises(UsageError, match=said):
        make()


def test_a_negative_weight_rewards() -> None:
    model = penalised({"l2": L2(-0.5)})
    terms = model.objective(model.propagate(batch_of()))
    assert terms["loss"] < terms["distortion"]


def test_a_users_plug_in_is_one_class_with_one_method() -> None:
    class Slowness(Regularizer):
        def forward(self, model: AutoEncoder, out: ForwardPass) -> Tensor:
            return (out.q.mean[1:] - out.q.mean[:-1]).square().sum()

    model = penalised({"slow": Slowness(0.5)})
    out = model.propagate(batch_of())
    terms = model.objective(out)
    assert close(terms["slow"], squared_norm(model.code(out.x).diff(dim=0)).sum())
    assert terms["loss"].equal(terms["distortion"] + 0.5 * terms["slow"])


def test_a_penalty_of_the_wrong_shape_is_refused() -> None:
    class Unsummed(Regularizer):
        def forward(self, model: AutoEncoder, out: ForwardPass) -> Tensor:
            return out.q.mean.square()

    model = penalised({"wrong": Unsummed()})
    with pytest.raises(UsageError, match=r"Unsummed returned the shape \(6, 3\): sum over the"):
        model.objective(model.propagate(batch_of()))
