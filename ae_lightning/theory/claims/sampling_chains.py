"""A chain that draws keeps the density; a chain of means shrinks it."""

import math
from collections.abc import Callable

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from ae_lightning import geometry
from ae_lightning.callbacks.drawing.fields import field, show_density
from ae_lightning.callbacks.drawing.theme import COLOURS
from ae_lightning.callbacks.drawing.vectors import label_axes, plane
from ae_lightning.corruptions import GaussianNoise
from ae_lightning.datamodules import MixtureOfGaussians
from ae_lightning.distributions import PointMass
from ae_lightning.likelihoods import Gaussian
from ae_lightning.nn import MLP, Identity
from ae_lightning.samplers import denoising_chain, langevin
from ae_lightning.systems import DenoisingAutoEncoder
from ae_lightning.theory.fitting import adam, fit
from ae_lightning.theory.known_data import GaussianData
from ae_lightning.theory.panels import legend, panel
from ae_lightning.theory.proof import Check, Claim, Results

SIGMA = 0.5  # the corruption's standard deviation, the data's being 1
A = 1 / (1 + SIGMA**2)  # r(x̃) = a x̃ is the best reconstruction
SHRUNK = A**2 * SIGMA**2 / (1 - A**2)
CHAINS, STEPS = 200_000, 40


def chains_of(model: DenoisingAutoEncoder, mean_only: bool) -> Tensor:
    """Return the last states of a trained model's chains: draws of p(x|x̃), or only its means."""

    def denoise(x: Tensor) -> Distribution:
        p = model.decode(model.code(x))
        return PointMass(p.mean) if mean_only else p

    return denoising_chain(denoise, torch.zeros(CHAINS, 1), SIGMA, STEPS)


class SamplingChains(Claim):
    title = "Sampling by chains"
    notes = ("12.2", "12.3")
    statement = """Corrupting and then drawing from the true p(x|x̃) keeps the density of the data;
        taking its mean instead shrinks it; Langevin dynamics along the denoising score sample the
        smoothed density."""
    formula = r"""$v_{t+1} = a^2 (v_t + \sigma^2) + \mathrm{Var}[x|\tilde x],
        \quad a = \frac{1}{1 + \sigma^2}:\qquad v_\infty = 1,
        \ \ \mathrm{or}\ \ \frac{a^2\sigma^2}{1 - a^2}\ \mathrm{without\ the\ variance}$"""
    source = """Bengio et al., 2013, Generalized Denoising Auto-Encoders as Generative Models;
        Roberts and Tweedie, 1996, Exponential Convergence of Langevin Distributions"""
    correction = """Repeating x → g(f(x̃)) is not a sampler: without the spread of p(x|x̃) the chain
        contracts. Langevin dynamics sample p_σ, whose variance exceeds the data's by σ²."""
    wrong_version = """The chain of means; Langevin dynamics along the data's own score, or along
        a score that is divided by σ."""
    caption = """Variances along the chains, from a wide and a narrow start; and Langevin draws
        along the smoothed score of a mixture, over its smoothed density."""

    def run(self, seed: int) -> Results:
        # The σ of p(x|x̃) is learned: it becomes the spread of the true one.
        noise = GaussianNoise(SIGMA)
        data = GaussianData([1.0], n=262144, batch_size=16384, corruption=noise, seed=seed)
        options = {"encoder": Identity(), "decoder": MLP(widths=()), **adam(0.03)}
        options |= {"likelihood": Gaussian(learned=True), "value_range": None}
        model = DenoisingAutoEncoder((1,), 1, **options)
        fit(model, data, 400)

        def exact(x: Tensor) -> Distribution:
            spread = torch.full_like(x, math.sqrt(SIGMA**2 * A))
            return Independent(Normal(A * x, spread), 1)

        start = torch.randn(CHAINS, 1)
        kept = float(denoising_chain(exact, start, SIGMA, STEPS).var())
        drawn, meant = (float(chains_of(model, mean_only).var()) for mean_only in (False, True))
        smoothed = 1 + SIGMA**2

        def walked(score: Callable[[Tensor], Tensor]) -> float:
            """Return the variance after Langevin dynamics along a score."""
            return float(langevin(score, start, 0.004, 800).var())

        def learned(x: Tensor) -> Tensor:
            return geometry.score(model, x, SIGMA)

        what = "variance after a chain of the exact p(x|x̃); 1 is right"
        yield Check(what, kept, {"means only, trained model": meant}, at_least=0.98, at_most=1.02)
        what = "variance after a chain of a trained model; 1 is right"
        yield Check(what, drawn, {"means only": meant}, at_least=0.98, at_most=1.02)
        what = f"variance after a chain of means; a²σ²/(1 − a²) = {SHRUNK:.4f} is right"
        wrong = {"draws of p(x|x̃)": drawn}
        yield Check(what, meant, wrong, at_least=SHRUNK - 0.02, at_most=SHRUNK + 0.02)
        what = f"variance after Langevin dynamics along the learned score; {smoothed:.2f} is right"
        wrong = {
            "along the data's own score": walked(lambda x: -x),
            "divided by σ": walked(lambda x: SIGMA * learned(x)),
        }
        yield Check(what, walked(learned), wrong, at_least=smoothed - 0.02, at_most=smoothed + 0.02)
        yield from (variances(model, exact), mixture(seed))


def variances(model: DenoisingAutoEncoder, exact: Callable[[Tensor], Distribution]) -> Figure:
    """Draw the variance along chains of the exact p(x|x̃) and of a trained model's means."""
    figure, axes = panel("variance along the chain", "steps", "variance")
    chains = {"exact p(x|x̃)": exact, "means only": lambda x: PointMass(model.reconstruct(x))}
    for (name, denoise), colour in zip(chains.items(), COLOURS, strict=False):
        for width in (0.2, 1.5):
            x = width * torch.randn(20_000, 1)
            curve = [float(x.var())]
            for _ in range(12):
                x = denoising_chain(denoise, x, SIGMA, 1)
                curve.append(float(x.var()))
            axes.plot(curve, ".-", color=colour, label=name if width < 1 else None)
    for level in (1.0, SHRUNK):
        axes.axhline(level, color="gray", linewidth=0.8)
    legend(axes)
    return figure


def mixture(seed: int) -> Figure:
    """Draw the states of Langevin dynamics along a mixture's smoothed score, over its density."""
    toy, sigma = MixtureOfGaussians(), 0.3
    x = langevin(lambda x: toy.score(x, sigma), 2 * torch.randn(1000, 2), 0.02, 500)
    figure, axes = panel(f"Langevin dynamics, σ = {sigma}")
    grid = field(x, 1.0, plane(x), x, 80)
    show_density(axes, grid, grid.evaluate(lambda p: toy.log_prob(p.double(), sigma)))
    axes.scatter(*x.T, s=3, linewidths=0, color=COLOURS[1])
    label_axes(axes, ("x₁", "x₂"))
    return figure
