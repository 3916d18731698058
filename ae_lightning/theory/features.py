"""What the penalties do to features of real images: the order of linear probes, and the spectra."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ae_lightning import geometry
from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.corruptions import Masking
from ae_lightning.likelihoods import Bernoulli
from ae_lightning.nn import MLP, Sigmoid, TiedMLP
from ae_lightning.posteriors import Dirac
from ae_lightning.regularizers.jacobian import Contractive
from ae_lightning.theory.base import Check, Claim, Outcome
from ae_lightning.theory.data import mnist
from ae_lightning.theory.fitting import adam, fit
from ae_lightning.theory.panels import legend, panel

FEATURES, EPOCHS, BATCH = 500, 6, 128
LABELLED = 1000


def autoencoder(contraction: float = 0.0) -> AutoEncoder:
    """500 sigmoid features and a tied decoder, for pixels in [0, 1]."""
    return AutoEncoder(
        shape=(1, 28, 28),
        latent=FEATURES,
        encoder=MLP(widths=()),
        posterior=Dirac(Sigmoid()),
        decoder=TiedMLP(),
        likelihood=Bernoulli(),
        regularizers={"contractive": Contractive(contraction)},
        **adam(3e-3),
    )


class PenaltiesShapeFeatures(Claim):
    title = "Penalties shape the features"
    statement = (
        "Of 500 features learned from digits without labels, those of a plain autoencoder let a "
        "linear classifier do better than random ones, a denoising one better than a plain one, "
        "and a contractive one best; its Jacobian's spectrum falls steepest."
    )
    formula = r"$\mathrm{error}:\ \ \mathrm{random} > \mathrm{AE} > \mathrm{DAE} > \mathrm{CAE}$"
    source = "Rifai et al., 2011, Contractive Auto-Encoders"
    wrong_version = "The opposite order."
    caption = (
        "Singular values of the encoder's Jacobian, averaged over test images and divided by the "
        "largest; and the error of a linear classifier on the features."
    )

    def run(self, seed: int) -> Outcome:
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
        errors = {name: probe(model, clean, seed) for name, model in models.items()}
        x = clean.pairs("test", range(50)).x
        spectra = {
            n: geometry.spectrum(m.code, x).mean(0) for n, m in models.items() if n != "random"
        }

        def concentration(name: str) -> float:
            """The share of the squared spectrum in its 25 leading values."""
            s = spectra[name].square()
            return float(s[:25].sum() / s.sum())

        order = list(models)
        checks = [
            Check(
                f"error of {a} over that of {b}, in test images of 10,000",
                float(errors[a] - errors[b]),
                at_least=1,
                wrong={"the opposite order": float(errors[b] - errors[a])},
            )
            for a, b in pairwise(order)
        ]
        checks.append(
            Check(
                "share of the CAE's squared spectrum in 25 values, over the AE's",
                concentration("CAE") / concentration("AE"),
                at_least=1.1,
                wrong={"the opposite order": concentration("AE") / concentration("CAE")},
            )
        )
        figure, axes = panel("spectrum of the Jacobian", "index", "singular value / largest")
        for name, s in spectra.items():
            axes.semilogy(range(1, len(s) + 1), s / s[0], label=name)
        axes.set(ylim=(1e-3, 1.5))
        legend(axes)
        bars, axes = panel("linear classifier, 1,000 labels", "", "test error, %")
        axes.bar(list(errors), [e / 100 for e in errors.values()])
        return Outcome(checks, [figure, bars])


def probe(model: AutoEncoder, data: object, seed: int) -> int:
    """The test images that logistic regression on the code gets wrong, of 10,000."""
    from sklearn.linear_model import LogisticRegression

    def coded(split: str, n: int) -> tuple[Tensor, Tensor]:
        pair = data.pairs(split, range(n))  # type: ignore[attr-defined]
        return torch.cat([model.code(x) for x in pair.x.split(1000)]), pair.y

    z, y = coded("train", LABELLED)
    mean, scale = z.mean(0), z.std(0) + 1e-3
    classifier = LogisticRegression(C=0.01, max_iter=500)
    classifier.fit(((z - mean) / scale).numpy(), y.numpy())
    z, y = coded("test", 10_000)
    return int(np.sum(classifier.predict(((z - mean) / scale).numpy()) != y.numpy()))
