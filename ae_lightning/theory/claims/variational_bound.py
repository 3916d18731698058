"""The variational bound, its gap, and the importance samples that close it."""

import math
from itertools import pairwise

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from ae_lightning.core.types import Pair
from ae_lightning.regularizers.divergences import Rate
from ae_lightning.theory.linear_models import (
    LinearVAE,
    affine,
    exact_linear_vae,
    log_weights,
    marginal,
    orthogonal_columns,
)
from ae_lightning.theory.numerics import gaussian_nodes
from ae_lightning.theory.panels import legend, panel
from ae_lightning.theory.proof import Check, Claim, Results

D, SQUARES, SIGMA = 8, [4.0, 2.0, 1.0], 0.7
SAMPLES = (1, 3, 10, 30, 100)
REPEATS = 20_000


def blunt(model: LinearVAE) -> None:
    """Shift the posterior's means, and widen it."""
    layer = affine(model.encoder)
    K = model.latent
    layer.bias[:K] += 0.5
    layer.bias[K:] += 0.3


def bound(model: LinearVAE, x: Tensor, samples: int) -> tuple[float, float]:
    """Return a Monte Carlo estimate of L_R at x (1, D), in nats, and its standard error."""
    model.samples = samples
    n = max(1000, REPEATS // samples)
    places, many, values = torch.arange(n), x.expand(n, -1), []
    model.train()  # so that the noise is drawn anew
    for _ in range(10):
        out = model.propagate(Pair(many, many, places, places))
        values.append(-float(model.objective(out)["bound"].detach()))
    model.eval()
    L = torch.tensor(values)
    return float(L.mean()), float(L.std() / math.sqrt(len(L)))


def off_definition(model: LinearVAE, W: Tensor, mean: Tensor, x: Tensor, R: int) -> list[float]:
    """Return how far the model's L_R at x (B, D) is from its definition, relatively.

    Then how far the definition would be without 1/R, and with the average of the logarithms.
    """
    model.samples = R
    places = torch.arange(len(x))
    out = model.propagate(Pair(x, x, places, places))
    K, z = model.latent, out.z
    weights = (
        MultivariateNormal(z @ W.T + mean, SIGMA**2 * torch.eye(D).double()).log_prob(x)
        + MultivariateNormal(torch.zeros(K).double(), torch.eye(K).double()).log_prob(z)
        - MultivariateNormal(out.q.mean, torch.diag_embed(out.q.variance)).log_prob(z)
    )  # (R, B)
    L = weights.exp().mean(0).log().mean()
    found, versions = -model.objective(out)["bound"], (L, L + math.log(R), weights.mean())
    return [float((found - version).abs() / L.abs()) for version in versions]


class VariationalBound(Claim):
    title = "The bound, its gap and its samples"
    notes = ("10.2", "10.3", "10.4")
    statement = """The evidence lower bound lies below log p(x) by exactly the divergence of q(z|x)
        from the true posterior; if q is that posterior, every sample gives log p(x); and importance
        samples raise the bound towards log p(x)."""
    formula = r"""$\mathrm{ELBO} = \log p(x) - KL\left(q(z|x)\,\|\,p(z|x)\right), \qquad
        L_R = E\,\log \frac{1}{R}\sum_r \frac{p(x, z_r)}{q(z_r|x)} \leq L_{R+1} \leq \log p(x)$"""
    source = """Kingma and Welling, 2014, Auto-Encoding Variational Bayes; Burda et al., 2016,
        Importance Weighted Autoencoders"""
    correction = """The notes write E log p(z|x) + H(q), which is off by exactly log p(x); the bound
        is E log p(z, x) + H(q). Averaging the logarithms over R samples does not tighten it; the
        logarithm of the average does."""
    wrong_version = """The notes' E log p(z|x) + H(q); a posterior that is shifted and too wide; the
        average of the logarithms; the logarithm of the sum, without 1/R; log σ read as log σ²."""
    caption = """With an inexact posterior, the bound rises to log p(x) with the number of samples,
        while the average of logarithms stays where it is. The logarithms of the weights vary for
        the inexact posterior, but not at all for the exact one."""

    def run(self, seed: int) -> Results:
        W, mean = orthogonal_columns(D, SQUARES), torch.randn(D).double()
        exact, model = (exact_linear_vae(W, SIGMA, mean) for _ in range(2))
        blunt(model)
        x = marginal(model).sample((5,))
        log_p, q = marginal(model).log_prob(x), model.encode(x)

        # The integrand is quadratic in z, for which three nodes per dimension are exact.
        nodes, w = gaussian_nodes(3, model.latent)
        z = q.mean + q.stddev * nodes[:, None]  # (N, B, K)
        elbo = (w[:, None] * log_weights(model, x, z, q)).sum(0)
        p = exact.encode(x)
        posterior = MultivariateNormal(p.mean, torch.diag_embed(p.variance))
        gap = kl_divergence(MultivariateNormal(q.mean, torch.diag_embed(q.variance)), posterior)
        as_written = (w[:, None] * (posterior.log_prob(z) - q.log_prob(z))).sum(0)

        draws = q.sample((1000,))
        spread = {
            name: log_weights(m, x, m.encode(x).sample((1000,)), m.encode(x)).std(0).max()
            for name, m in {"exact": exact, "inexact": model}.items()
        }

        one, log_p_one = x[:1], float(log_p[0])
        rising = [bound(model, one, R) for R in SAMPLES]
        q_one = model.encode(one)
        weights = log_weights(model, one, q_one.sample((REPEATS, SAMPLES[-1])).squeeze(2), q_one)
        flat = []
        for R in SAMPLES:
            L = weights[: REPEATS // R, :R].mean(1)
            flat.append((float(L.mean()), float(L.std() / math.sqrt(len(L)))))

        def least_rise(bounds: list[tuple[float, float]]) -> float:
            """Return the smallest step from one R to the next, in standard errors."""
            return min((b - a) / math.hypot(s, t) for (a, s), (b, t) in pairwise(bounds))

        last, error = rising[-1]
        rate = Rate()(model, model.propagate(Pair(x, x, torch.arange(5), torch.arange(5))))
        mu, log_sigma = q.mean, q.stddev.log()

        def closed(log_variance: Tensor) -> Tensor:
            """Return ½ Σ (μ² + σ² − 1 − log σ²)."""
            return (mu.square() + log_variance.exp() - 1 - log_variance).sum(1) / 2

        what = "ELBO against log p(x) − KL(q, posterior), nats"
        wrong = {"as the notes write it": float((as_written - log_p + gap).abs().max())}
        yield Check(what, float((elbo - log_p + gap).abs().max()), wrong, at_most=1e-10)
        what = "standard deviation of log p(x, z)/q(z|x) at the exact posterior, nats"
        wrong = {"shifted and too wide": float(spread["inexact"])}
        yield Check(what, float(spread["exact"]), wrong, at_most=1e-10)
        what = f"smallest rise from R = {SAMPLES[0]} to {SAMPLES[-1]}, standard errors"
        wrong = {"average of logarithms": least_rise(flat)}
        yield Check(what, least_rise(rising), wrong, at_least=3.0)
        what = f"L at R = {SAMPLES[-1]} less log p(x), standard errors"
        wrong = {"sum without 1/R": (last + math.log(SAMPLES[-1]) - log_p_one) / error}
        yield Check(what, (last - log_p_one) / error, wrong, at_most=3.0)
        what = f"log p(x) less L at R = {SAMPLES[-1]}, nats"
        wrong = {"average of logarithms": log_p_one - flat[-1][0]}
        yield Check(what, log_p_one - last, wrong, at_most=0.1)
        for R in (1, 5, 50):
            off, unscaled, averaged = off_definition(model, W, mean, x, R)
            wrong = {"sum without 1/R": unscaled, "average of logarithms": averaged}
            what = f"L at R = {R} against its definition, relative"
            yield Check(what, off, wrong if R > 1 else {}, at_most=1e-13)
        what = "the rate against ½ Σ (μ² + σ² − 1 − log σ²), nats"
        wrong = {"log σ read as log σ²": float((rate - closed(log_sigma)).abs().max())}
        yield Check(what, float((rate - closed(2 * log_sigma)).abs().max()), wrong, at_most=1e-10)

        curve, axes = panel("the bound rises to log p(x)", "importance samples R", "nats")
        for name, bounds in {"$L_R$": rising, "average of logarithms": flat}.items():
            means, errors = zip(*bounds, strict=True)
            axes.errorbar(SAMPLES, means, [3 * e for e in errors], fmt="o-", label=name, capsize=3)
        axes.axhline(log_p_one, color="black", linewidth=0.8, label="log p(x)")
        axes.set_xscale("log")
        legend(axes, loc="center right")
        spreads, axes = panel("the weights", "log p(x, z)/q(z|x), nats", "density")
        inexact = log_weights(model, one, draws[:, :1], q_one).flatten()
        axes.hist(inexact.numpy(), bins=60, density=True, label="inexact posterior")
        axes.axvline(log_p_one, color="black", linewidth=1.5, label="exact posterior: log p(x)")
        legend(axes, loc="upper left")
        yield from (curve, spreads)
