"""Densities of whole examples: exact near their limits, and fast without a loss."""

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from ae_lightning.distributions import (
    IndependentBernoulli,
    IndependentCategorical,
    IndependentContinuousBernoulli,
)
from ae_lightning.distributions.categorical import LogSoftmaxAt
from ae_lightning.distributions.continuous_bernoulli import LogPartition, tilted_mean
from ae_lightning.distributions.independent import SumSoftplus
from ae_lightning.likelihoods import Categorical
from helpers.closeness import close
from helpers.likelihoods import built

LOGITS = [s * l for l in (1e-8, 1e-4, 0.1, 0.4999, 0.5001, 1.0, 30.0, 100.0) for s in (1, -1)]
PRECISIONS = {torch.float32: 1e-6, torch.float64: 1e-14}


# ------------------------------------------------------------- ContinuousBernoulli


def exact(l: float) -> tuple[float, float, float]:
    """log A(l), its derivative (the mean) and second derivative (the variance), to 50 digits."""
    with mpmath.workdps(50):
        l = mpmath.mpf(l)
        if l == 0:
            return 0.0, 0.5, 1 / 12
        A = mpmath.expm1(l) / l
        mean = 1 / (1 - mpmath.exp(-l)) - 1 / l
        variance = 1 / l**2 - mpmath.exp(-l) / (1 - mpmath.exp(-l)) ** 2
        return float(mpmath.log(A)), float(mean), float(variance)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("logit", [0.0, *LOGITS])
def test_continuous_bernoulli_is_right_near_zero_and_far_from_it(logit, dtype):
    l = torch.tensor([logit], dtype=dtype, requires_grad=True)
    x = torch.tensor([0.3], dtype=dtype)
    log_A, mean, variance = exact(l.item())
    tolerance = PRECISIONS[dtype]
    p = IndependentContinuousBernoulli(l, 1)
    (slope,) = torch.autograd.grad(p.log_prob(x).sum(), l)
    assert p.mean.item() == pytest.approx(mean, rel=tolerance)
    assert p.log_prob(x).item() == pytest.approx(
        0.3 * l.item() - log_A, rel=tolerance, abs=tolerance
    )
    assert slope.item() == pytest.approx(0.3 - mean, rel=10 * tolerance)
    (curvature,) = torch.autograd.grad(p.mean.sum(), l)
    assert curvature.item() == pytest.approx(variance, rel=1e3 * tolerance)


def test_continuous_bernoulli_has_not_the_mean_of_bernoulli():
    l = torch.tensor([2.0, -5.0], dtype=torch.float64)
    assert (tilted_mean(l) - l.sigmoid()).abs().min() > 0.1
    x = torch.linspace(0, 1, 20001, dtype=torch.float64)[:, None]
    for i in range(2):
        density = IndependentContinuousBernoulli(l[i : i + 1], 1).log_prob(x).exp()
        assert close(torch.trapezoid(density * x[:, 0], x[:, 0]), tilted_mean(l[i]), 1e-7)


@pytest.mark.parametrize("logit", [-100.0, -3.0, 0.0, 1e-6, 3.0, 100.0])
def test_continuous_bernoulli_samples_follow_its_density(logit):
    x = IndependentContinuousBernoulli(torch.full((50_000, 1), logit), 1).sample()
    _, mean, variance = exact(logit)
    assert abs(x.double().mean().item() - mean) < 4.5 * (variance / 50_000) ** 0.5
    assert x.double().var().item() == pytest.approx(variance, rel=0.05)


# ------------------------------------------------------------------ the fast forms


def test_the_gradients_of_the_fast_forms():
    l = 3 * torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    for f in (SumSoftplus.apply, LogPartition.apply):
        assert gradcheck(f, l)
        assert gradgradcheck(f, l)
    k = torch.randint(6, (4, 1))
    assert gradcheck(lambda l: LogSoftmaxAt.apply(l, k, 1), l)


@pytest.mark.parametrize("D", [1, 2, 64, 101, 131, 784, 3072])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3])
def test_a_sum_of_softplus_by_products_is_exact_for_any_number_of_elements(D, scale):
    l = scale * torch.randn(5, D)
    expected = F.softplus(l.double()).sum(-1)
    assert close(SumSoftplus.apply(l.double()), expected, 1e-10 * (1 + expected.max()))
    assert close(SumSoftplus.apply(l).double(), expected, 1e-6 * (1 + expected.max()))


def test_the_fast_forms_work_under_vmap():
    l, x = torch.randn(5, 4, 7, dtype=torch.float64), torch.rand(4, 7)
    for cls in (IndependentBernoulli, IndependentContinuousBernoulli):
        one = torch.func.vmap(lambda l, cls=cls: cls(l, 1).log_prob(x))(l)
        assert close(one, cls(l, 1).log_prob(x))
        rows = torch.func.vmap(torch.func.grad(lambda l, cls=cls: cls(l, 1).log_prob(x).sum()))(l)
        (whole,) = torch.autograd.grad(
            cls(leaf := l.clone().requires_grad_(), 1).log_prob(x).sum(), leaf
        )
        assert close(rows, whole)


def test_a_categorical_is_differentiable_twice():
    logits, x = torch.randn(2, 5, 3).double().requires_grad_(), torch.rand(2, 3).double()
    assert torch.autograd.gradgradcheck(lambda l: IndependentCategorical(l, 1).log_prob(x), logits)
    k = (x * 4).round().long()
    hessian, slow = (
        torch.func.jacrev(torch.func.jacrev(log_p))(logits)
        for log_p in (
            lambda l: IndependentCategorical(l, 1).log_prob(x).sum(),
            lambda l: -torch.nn.functional.cross_entropy(l, k, reduction="sum"),
        )
    )
    assert close(hessian, slow)


def test_a_categorical_keeps_nothing_of_its_logits_size_but_them():
    logits = torch.randn(2, 256, 1, 16, 16, requires_grad=True)
    x = torch.rand(2, 1, 16, 16)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        IndependentCategorical(logits, 3).log_prob(x).sum().backward()
    large = {t.data_ptr() for t in saved if t.numel() == logits.numel()}
    assert large == {logits.data_ptr()}


def test_levels_round_to_the_nearest_and_bytes_are_kept():
    likelihood = built(Categorical(), (256,))
    k = torch.arange(256)
    one_hot = torch.full((256, 256), -1e3, dtype=torch.float64)  # level k is certain at pixel k
    one_hot[k, k] = 0
    p = likelihood(one_hot.flatten()[None])
    for x in (k / 255, (k + 0.4) / 255, (k - 0.4) / 255, np.float32(k) / np.float32(255)):
        assert p.log_prob(torch.as_tensor(x)) == 0
    assert close(p.mean[0], k.double() / 255)
