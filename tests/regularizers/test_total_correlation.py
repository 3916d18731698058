"""Total correlation against its sums, and against the truth of a Gaussian."""

import math

import pytest
import torch
from torch import Tensor
from torch import distributions as td

from ae_lightning.posteriors import DiagonalGaussian
from ae_lightning.regularizers import TotalCorrelation, WeightedTotalCorrelation
from helpers.closeness import close
from helpers.models import LATENT as K
from helpers.penalties import B, batch_of, gaussian_pass, penalised, penalty_of

BOTH = pytest.mark.parametrize("kind", [TotalCorrelation, WeightedTotalCorrelation])


def weight(kind: type, i: int, j: int, N: int) -> float:
    """The weight of q(z_i|x_j) in q(z_i), by its definition."""
    if kind is WeightedTotalCorrelation:
        return 1 / (N * B)
    if j == i:
        return 1 / N
    return (1 - 1 / N) / (B - 1)


@BOTH
@pytest.mark.parametrize("N", [B, 50])
def test_it_is_its_sum_over_pairs(kind, N) -> None:
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
                w = weight(kind, i, j, N)
                joint = joint + w * math.prod(p)
                factors = [f + w * pk for f, pk in zip(factors, p, strict=True)]
            expected[i] += (math.log(joint) - sum(map(math.log, factors))) / 2
    assert close(penalty_of(kind(dataset_size=N), model, out), expected)


@pytest.mark.parametrize(("M", "N"), [(2, 2), (5, 5), (5, 1000), (128, 60_000)])
def test_stratified_weights_of_an_example_add_up_to_one(M, N) -> None:
    w = TotalCorrelation().shares(torch.arange(M), M, N)
    assert close(w.sum(1), torch.ones(M).double())
    assert (w >= 0).all()


def gaussian_truth(kind: type, K: int, rho: float, s: float, M: int, **options) -> Tensor:
    """Estimates less the truth, over 20 batches of M codes with posteriors N(μ, s² I)."""
    C = torch.full((K, K), rho).double().fill_diagonal_(1)
    S = C + s**2 * torch.eye(K)  # the covariance of q(z)
    truth = (S.diagonal().log().sum() - S.logdet()) / 2
    mu = torch.randn(20, M, K).double() @ torch.linalg.cholesky(C).T
    passes = (gaussian_pass(m, torch.full_like(m, s)) for m in mu)
    model = penalised()
    return torch.stack([penalty_of(kind(**options), model, o).mean() for o in passes]) - truth


@BOTH
@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_it_is_the_truth_where_many_posteriors_overlap(kind, rho) -> None:
    assert gaussian_truth(kind, K=2, rho=rho, s=0.5, M=500).mean().abs() < 0.02


@pytest.mark.parametrize(
    ("K", "s", "stratified", "weighted"),
    [(2, 0.3, -0.09, 0.07), (10, 0.1, 13.0, 17.6), (10, 0.3, 1.8, 7.5), (10, 1.0, -0.3, 0.4)],
)
def test_its_bias_is_as_documented(K, s, stratified, weighted) -> None:
    for kind, bias, N in (
        (TotalCorrelation, stratified, 60_000),
        (WeightedTotalCorrelation, weighted, None),
    ):
        off = gaussian_truth(kind, K, 0.0, s, 128, dataset_size=N)
        assert abs(off.mean() - bias) < 0.06 + 0.02 * abs(bias)


def test_the_training_set_is_what_it_is_told_of() -> None:
    model, one = penalised({}, DiagonalGaussian()), TotalCorrelation()
    out = model.propagate(batch_of())
    assert close(penalty_of(one, model, out), penalty_of(TotalCorrelation(1.0, B), model, out))
    model.dataset_size = 70
    assert close(penalty_of(one, model, out), penalty_of(TotalCorrelation(1.0, 70), model, out))
