"""What penalties do to features of real images: the order of linear probes, and spectra."""

from itertools import pairwise, permutations
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from ae_lightning import geometry
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.corruptions import Masking
from ae_lightning.datamodules import MNIST
from ae_lightning.likelihoods import Bernoulli
from ae_lightning.model import Model
from ae_lightning.nn import MLP, Sigmoid, TiedMLP
from ae_lightning.posteriors import Dirac
from ae_lightning.regularizers.contractive import Contractive
from ae_lightning.theory.fitting import adam, fit
from ae_lightning.theory.known_data import mnist
from ae_lightning.theory.panels import legend, panel
from ae_lightning.theory.proof import Check, Claim, Results

FEATURES, STEPS, BATCH = 500, 700, 128  # an epoch and a half
TRAININGS = 3  # of each kind, from other initial weights and in another order
RIDGE = 100.0  # the penalty on the classifier's weights
LABELS, DRAWS = 500, 20  # few labels tell features apart best, many draws of them leave no noise
LEVEL = 0.99  # confidence that all intervals hold at once
LEADING = 25  # singular values
ANOTHER = "another AE"  # the noise of training alone


def autoencoder(contraction: float = 0.0) -> AutoEncoder:
    """Return 500 sigmoid features and a tied decoder, for pixels in [0, 1]."""
    return AutoEncoder(
        shape=(1, 28, 28),
        latent=FEATURES,
        encoder=MLP(widths=()),
        posterior=Dirac(Sigmoid()),
        decoder=TiedMLP(),
        likelihood=Bernoulli(),
        regularizers={"contractive": Contractive(contraction)},
        **adam(0.01),
    )


def trained(seed: int) -> dict[str, AutoEncoder]:
    """Return a model of each kind, from initial weights of its own."""
    clean = mnist(batch_size=BATCH, seed=seed)
    noisy = mnist(batch_size=BATCH, seed=seed, corruption=Masking(0.5))
    return {
        "random": autoencoder().eval().requires_grad_(False),
        "AE": fit(autoencoder(), clean, STEPS),
        "DAE": fit(autoencoder(), noisy, STEPS),
        "CAE": fit(autoencoder(1.0), clean, STEPS),
        ANOTHER: fit(autoencoder(), clean, STEPS),
    }


class PenaltiesShapeFeatures(Claim):
    title = "Penalties shape the features"
    notes = ("8.1",)
    statement = """With 500 features learned from digits without labels, a linear classifier does
        better from few labels on those of a plain autoencoder than on random ones, still better on
        those of a denoising one, and best on those of a contractive one; the spectrum of the
        latter's Jacobian falls most steeply, because it resists most changes of the input."""
    formula = r"$\mathrm{error}:\ \ \mathrm{random} > \mathrm{AE} > \mathrm{DAE} > \mathrm{CAE}$"
    source = """Vincent et al., 2010, Stacked Denoising Autoencoders; Rifai et al., 2011,
        Contractive Auto-Encoders"""
    wrong_version = """Other plain autoencoders, from other initial weights, taken for better ones:
        the noise of training alone, by the same statistic."""
    caption = """Singular values of the code's Jacobian, averaged over test images and divided by
        the largest; and the test error of a linear classifier on the features, averaged over three
        trainings and twenty draws of 500 labels: where error bars do not overlap, the means differ
        by more than the noise of training (Tukey, 99 %)."""

    def run(self, seed: int) -> Results:
        data = mnist(batch_size=BATCH, seed=seed)
        data.setup()
        trainings = [trained(TRAININGS * seed + i) for i in range(TRAININGS)]
        errors = {name: [probe(t[name], data) for t in trainings] for name in trainings[0]}
        gains = differences(errors)
        order = [name for name in errors if name != ANOTHER]
        chance = max(low for pair, (_, low) in gains.items() if set(pair) == {"AE", ANOTHER})
        for pair in pairwise(order):
            gain, low = gains[pair]
            what = "errors of 10,000, {} less {}: ".format(*pair)
            what += f"lower end of {gain:.0f} ± {gain - low:.0f}"
            yield Check(what, low, {"AE less another AE": chance}, at_least=0)
        x = data.pairs("test", range(50)).x
        spectra = {n: geometry.spectrum(m.code, x).mean(0) for n, m in trainings[0].items()}
        share = {
            name: leading_share(s) / leading_share(spectra["AE"]) for name, s in spectra.items()
        }
        for name in ("DAE", "CAE"):
            what = f"share of the {name}'s squared spectrum in {LEADING} values, over the AE's"
            yield Check(what, share[name], {ANOTHER: share[ANOTHER]}, at_least=1.1)

        figure, axes = panel("spectrum of the Jacobian", "index", "singular value / largest")
        for name in order:
            s = spectra[name]
            axes.semilogy(range(1, len(s) + 1), s / s[0], label=name)
        axes.set(ylim=(1e-3, 1.5))
        legend(axes)
        bars, axes = panel(f"linear classifier, {LABELS} labels", "", "test error, %")
        half = (gain - low) / 2  # of an interval's half-width, which is the same for all pairs
        heights = [mean(errors[name]) / 100 for name in order]
        axes.bar(order, heights, yerr=half / 100, capsize=4)
        yield from (figure, bars)


def differences(errors: dict[str, list[float]]) -> dict[tuple[str, str], tuple[float, float]]:
    """Return each two kinds' mean difference and the lower end of its interval, all of which hold
    at once (Tukey, 1949, Comparing Individual Means in the Analysis of Variance)."""
    from scipy.stats import tukey_hsd

    found = tukey_hsd(*errors.values())
    low = found.confidence_interval(LEVEL).low
    pairs = permutations(enumerate(errors), 2)
    return {(a, b): (float(found.statistic[i, j]), float(low[i, j])) for (i, a), (j, b) in pairs}


def leading_share(spectrum: Tensor) -> float:
    """Return the share of a squared spectrum in its leading values."""
    s = spectrum.square()
    return float(s[:LEADING].sum() / s.sum())


def probe(model: Model, data: MNIST) -> float:
    """Return how many test images a linear least-squares classifier on the code gets wrong, on
    average over the draws of labelled images that it learns from."""
    from sklearn.linear_model import RidgeClassifier
    from sklearn.preprocessing import StandardScaler

    def coded(split: str, n: int) -> tuple[Any, Any]:
        pair = data.pairs(split, range(n))
        return torch.cat([model.code(x) for x in pair.x.split(1000)]).numpy(), pair.y.numpy()

    (z, y), (z_test, y_test) = coded("train", DRAWS * LABELS), coded("test", 10_000)
    scaler = StandardScaler().fit(z)
    z, z_test = scaler.transform(z).reshape(DRAWS, LABELS, -1), scaler.transform(z_test)
    classifiers = (
        RidgeClassifier(alpha=RIDGE).fit(*drawn)
        for drawn in zip(z, y.reshape(DRAWS, -1), strict=True)
    )
    return mean(int((c.predict(z_test) != y_test).sum()) for c in classifiers)
