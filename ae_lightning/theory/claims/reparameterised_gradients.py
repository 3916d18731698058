"""The reparameterised gradient is unbiased, and its variance falls with the number of samples."""

import math

import torch
from torch import Tensor

from ae_lightning.core.types import Pair
from ae_lightning.likelihoods import Gaussian
from ae_lightning.model import Model
from ae_lightning.nn import MLP
from ae_lightning.systems import VariationalAutoEncoder
from ae_lightning.theory.numerics import gaussian_nodes, order
from ae_lightning.theory.panels import legend, panel, set_ticks
from ae_lightning.theory.proof import Check, Claim, Results

K, D = 2, 3
DRAWS = 200_000
SAMPLES = (1, 4, 16, 64)


def distortions(model: Model, x: Tensor, z: Tensor) -> Tensor:
    """Return −log p(x|z) of codes z (N, K): (N,)."""
    return -model.decode(z).log_prob(x)


def gradients(model: Model, x: Tensor, R: int) -> Tensor:
    """Return ∂/∂features (2K,) of the distortion of R samples, anew for each row of x: (n, 2K)."""
    places, model.samples = torch.arange(len(x)), R
    out = model.train().propagate(Pair(x, x, places, places))
    return torch.autograd.grad(model.distortion(out).sum(), out.features)[0]  # type: ignore[no-any-return]


def detached_gradients(model: Model, x: Tensor) -> Tensor:
    """The same at R = 1, of a draw that is detached from q: it has one through log q alone."""
    rows = model.encoder(x).detach().requires_grad_()
    q = model.posterior(rows)
    z = q.sample()
    loss = distortions(model, x, z) + q.log_prob(z)
    return torch.autograd.grad(loss.sum(), rows)[0]  # type: ignore[no-any-return]


class ReparameterisedGradients(Claim):
    title = "The reparameterised gradient"
    notes = ("11.1", "11.2")
    statement = """Drawing z = μ + σ ε and differentiating through it gives an unbiased gradient of
        the expected distortion, whose variance falls as one over the number of samples."""
    formula = r"""$\nabla_{\mu,\sigma} E_{q(z|x)}[-\log p(x|z)] =
        E_\epsilon\,\nabla_{\mu,\sigma}\left[-\log p(x|\mu + \sigma\epsilon)\right],
        \qquad \mathrm{Var} \propto 1/R$"""
    source = """Kingma and Welling, 2014, Auto-Encoding Variational Bayes; Rezende et al., 2014,
        Stochastic Backpropagation"""
    correction = """That one sample is enough is a heuristic for batches of about a hundred, over
        which the noise averages out too; it is not an optimum."""
    wrong_version = """Drawing z without differentiating through it; summing over samples instead of
        averaging."""
    caption = """The variance of the gradient against the number of samples, on logarithmic axes;
        and the running mean of single-sample gradients, which settles on the exact one."""

    def run(self, seed: int) -> Results:
        f, g = MLP((8,)), MLP((16,), activation="Tanh")
        model = VariationalAutoEncoder(
            (D,), K, encoder=f, decoder=g, likelihood=Gaussian(0.5), value_range=None
        )
        model.double()
        with torch.no_grad():
            for weights in model.decoder.parameters():
                weights.mul_(3)
        x = torch.randn(D).double()

        nodes, w = gaussian_nodes(60, K)
        leaf = model.encoder(x[None])[0].detach().requires_grad_()
        mu, log_sigma = leaf.chunk(2)
        expected = (w * distortions(model, x, mu + log_sigma.exp() * nodes)).sum()
        (exact,) = torch.autograd.grad(expected, leaf)

        def z_score(g: Tensor) -> float:
            """Return how far the mean gradient is from the exact one, in standard errors."""
            return float(((g.mean(0) - exact).abs() / (g.std(0) / math.sqrt(len(g)))).max())

        many = x.expand(DRAWS, -1)
        drawn = {R: gradients(model, many[: DRAWS // R], R) for R in SAMPLES}
        through = drawn[1]
        averaged = [float(g.var(0).sum()) for g in drawn.values()]
        summed = [float((R * g).var(0).sum()) for R, g in drawn.items()]
        what = "distance of the mean gradient from the exact, standard errors"
        wrong = {"not differentiated through": z_score(detached_gradients(model, many))}
        yield Check(what, z_score(through), wrong, at_most=4.5)
        what = "order of its variance in R"
        wrong = {"samples summed": order(SAMPLES, summed)}
        yield Check(what, order(SAMPLES, averaged), wrong, at_least=-1.05, at_most=-0.95)

        falling, axes = panel("variance of the gradient", "samples R", "variance")
        axes.loglog(SAMPLES, averaged, "o", label="measured")
        axes.loglog(SAMPLES, [averaged[0] / R for R in SAMPLES], label="1/R")
        set_ticks(axes.xaxis, SAMPLES)
        legend(axes)
        settling, axes = panel("running mean of gradients", "draws", "∂/∂μ₁, nats")
        count = torch.arange(1, DRAWS + 1)
        some = torch.logspace(0.5, math.log10(DRAWS), 200).long() - 1
        running = through[:, 0].cumsum(0) / count
        axes.semilogx(count[some], running[some], label="through the draw")
        axes.axhline(float(exact[0]), color="black", linewidth=0.8, label="exact")
        legend(axes)
        yield from (falling, settling)
