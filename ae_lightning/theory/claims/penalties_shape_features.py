"""What penalties do to features of real images: the order of linear probes, and spectra."""

from itertools import pairwise
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

FEATURES, EPOCHS, BATCH = 500, 3, 128
RIDGE = 100.0  # the penalty on the classifier's weights
GAIN = 30  # test images of 10,000: more than two plain autoencoders differ by, by chance
LEADING = 25  # singular values


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


class PenaltiesShapeFeatures(Claim):
    title = "Penalties shape the features"
    statement = """With 500 features learned from digits without labels, a linear classifier does
        better on those of a plain autoencoder than on random ones, still better on those of a
        denoising one, and best on those of a contractive one; the spectrum of the latter's Jacobian
        falls most steeply, because it resists most changes of the input."""
    formula = r"$\mathrm{error}:\ \ \mathrm{random} > \mathrm{AE} > \mathrm{DAE} > \mathrm{CAE}$"
    source = """Vincent et al., 2010, Stacked Denoising Autoencoders; Rifai et al., 2011,
        Contractive Auto-Encoders"""
    wrong_version = "Another plain autoencoder, from other initial weights, taken for a better one."
    caption = """Singular values of the code's Jacobian, averaged over test images and divided by
        the largest; and the test error of a linear classifier on the features."""

    def run(self, seed: int) -> Results:
        clean = mnist(batch_size=BATCH, seed=seed)
        noisy = mnist(batch_size=BATCH, seed=seed, corruption=Masking(0.3))
        clean.setup()
        steps = EPOCHS * (len(clean.sets["train"]) // BATCH)
        models = {
            "random": autoencoder().eval().requires_grad_(False),
            "AE": fit(autoencoder(), clean, steps),
            "DAE": fit(autoencoder(), noisy, steps),
            "CAE": fit(autoencoder(0.5), clean, steps),
        }
        another = fit(autoencoder(), clean, steps)
        errors = {name: probe(model, clean) for name, model in models.items()}
        x = clean.pairs("test", range(50)).x
        spectra = {name: geometry.spectrum(m.code, x).mean(0) for name, m in models.items()}
        plain = leading_share(spectra["AE"])
        wrong = {"AE over another AE": abs(errors["AE"] - probe(another, clean))}
        for a, b in pairwise(models):
            what = f"errors on 10,000 test images: {a} less {b}"
            yield Check(what, errors[a] - errors[b], wrong, at_least=GAIN)
        same = leading_share(geometry.spectrum(another.code, x).mean(0)) / plain
        for name in ("DAE", "CAE"):
            what = f"share of the {name}'s squared spectrum in {LEADING} values, over the AE's"
            found = leading_share(spectra[name]) / plain
            yield Check(what, found, {"another AE": same}, at_least=1.1)

        figure, axes = panel("spectrum of the Jacobian", "index", "singular value / largest")
        for name, s in spectra.items():
            axes.semilogy(range(1, len(s) + 1), s / s[0], label=name)
        axes.set(ylim=(1e-3, 1.5))
        legend(axes)
        bars, axes = panel("linear classifier, all labels", "", "test error, %")
        axes.bar(list(errors), [e / 100 for e in errors.values()])
        yield from (figure, bars)


def leading_share(spectrum: Tensor) -> float:
    """Return the share of a squared spectrum in its leading values."""
    s = spectrum.square()
    return float(s[:LEADING].sum() / s.sum())


def probe(model: Model, data: MNIST) -> int:
    """Return how many test images a linear least-squares classifier on the code gets wrong."""
    from sklearn.linear_model import RidgeClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def coded(split: str) -> tuple[Any, Any]:
        pair = data.pairs(split, range(len(data.sets[split])))
        return torch.cat([model.code(x) for x in pair.x.split(1000)]).numpy(), pair.y.numpy()

    classifier = make_pipeline(StandardScaler(), RidgeClassifier(alpha=RIDGE)).fit(*coded("train"))
    z, y = coded("test")
    return int((classifier.predict(z) != y).sum())
