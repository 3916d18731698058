"""A point estimate of the code does not estimate log p(x): it may lie above."""

import itertools
import math

import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from ae_lightning.theory.linear_models import (
    exact_linear_vae,
    log_joint,
    marginal,
    orthogonal_columns,
)
from ae_lightning.theory.panels import legend, panel
from ae_lightning.theory.proof import Check, Claim, Results

D, SQUARES = 10, [19.0, 8.0, 2.0]
VARIANCES = (0.5, 0.01)  # σ² of the decoder


class PointEstimate(Claim):
    title = "A point estimate is not log p(x)"
    notes = ("3.4",)
    statement = """For a discrete code, log p(h*, x) at the best code h* is a lower bound on log
        p(x); for a continuous code it is the logarithm of a density in other units, and can exceed
        log p(x) by any amount."""
    formula = r"""$\log p(h^*, x) - \log p(x) = \log p(h^*|x)
        = -\frac{1}{2}\log\det\left(2\pi\,\sigma^2 (W^\top W + \sigma^2 I)^{-1}\right)$"""
    source = "Tipping and Bishop, 1999, Probabilistic Principal Component Analysis"
    correction = """The notes approximate log p(x) by log p(h*, x). That is a lower bound for a
        discrete h; for a continuous h it adds the log-density of the posterior at its peak, which
        grows without limit as the posterior narrows."""
    wrong_version = """The continuous code's point estimate, taken for a lower bound or for log p(x)
        itself."""
    caption = """The point estimate less log p(x) in probabilistic PCA, against the decoder's noise:
        measured (dots) on the formula (line). Zero would be right; a discrete code stays below
        it."""

    def run(self, seed: int) -> Results:
        W, mean = orthogonal_columns(D, SQUARES), torch.randn(D).double()

        def excess(variance: float) -> tuple[float, float]:
            """Return log p(h*, x) − log p(x), on average and by the formula."""
            model = exact_linear_vae(W, math.sqrt(variance), mean)
            x = marginal(model).sample((1000,))
            over = log_joint(model, x, model.code(x)) - marginal(model).log_prob(x)
            posterior = variance / (W.square().sum(0) + variance)
            return float(over.mean()), -float((2 * math.pi * posterior).log().sum()) / 2

        def discrete(variance: float) -> float:
            """Return the mean of log p(h*, x) − log p(x), with h one of a cube's eight corners.

            p(x) is a mixture of eight Gaussians, whose density is computed without the model.
            """
            model = exact_linear_vae(W, math.sqrt(variance), mean)
            corners = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=3))).double()
            h = corners[torch.randint(8, (1000,))]
            x = model.decode(h).sample()
            joint = model.decode(corners[:, None]).log_prob(x) - math.log(8)  # (8, B)
            covariance = variance * torch.eye(D).double()
            kinds = Categorical(torch.ones(8).double())
            p = MixtureSameFamily(kinds, MultivariateNormal(corners @ W.T + mean, covariance))
            return float((joint.amax(0) - p.log_prob(x)).mean())

        measured = {v: excess(v) for v in VARIANCES}
        for v, (over, formula) in measured.items():
            what = f"log p(h*, x) − log p(x) at σ² = {v}, {over:+.2f} nats, against the formula"
            yield Check(what, abs(over - formula), {"taken for equal": abs(over)}, at_most=1e-10)
        what = "mean of log p(h*, x) − log p(x), discrete h at σ² = 4, nats"
        wrong = {f"continuous h, σ² = {v}": over for v, (over, _) in measured.items()}
        wrong["log p(x|h*), without log p(h*)"] = discrete(4.0) + math.log(8)
        yield Check(what, discrete(4.0), wrong, at_least=-math.log(8), at_most=0.0)

        figure, axes = panel("above log p(x)", "σ² of the decoder", "nats over log p(x)")
        grid = torch.logspace(-3, 1, 9).tolist()
        curve = [excess(v) for v in grid]
        axes.semilogx(grid, [c[1] for c in curve], label="continuous h, formula")
        axes.semilogx(grid, [c[0] for c in curve], "k.", label="measured")
        axes.semilogx(grid, [discrete(v) for v in grid], "s--", markersize=3, label="discrete h")
        axes.axhline(0, color="gray", linewidth=0.8)
        legend(axes)
        yield figure
