"""The denoising objective is an expectation within an expectation, with fresh corruptions."""

import itertools
import math
from collections.abc import Sequence

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from ae_lightning.callbacks.drawing.theme import COLOURS
from ae_lightning.core.types import Pair
from ae_lightning.corruptions import Masking
from ae_lightning.likelihoods import Gaussian
from ae_lightning.systems import DenoisingAutoEncoder
from ae_lightning.theory.fitting import adam, fit, mlps
from ae_lightning.theory.known_data import GaussianData
from ae_lightning.theory.linear_models import affine
from ae_lightning.theory.panels import panel
from ae_lightning.theory.proof import Check, Claim, Results

Example = tuple[tuple[float, float], list[tuple[float, float]]]  # x, and its corruptions x̃ − x

# The squared errors of the identity are 0.1, 0.4 and 0.25, 0.25: on average 0.25.
WORKED: list[Example] = [
    ((0.0, 0.0), [(0.1, 0.3), (-0.6, 0.2)]),
    ((2.0, 0.0), [(0.3, -0.4), (0.0, 0.5)]),
]
# Here they are 0.2, 0.5 and 0.1, 0.4, 0.4: (0.35 + 0.3)/2 if nested, 1.6/5 if flattened.
UNEQUAL: list[Example] = [
    ((0.0, 0.0), [(0.2, 0.4), (-0.5, 0.5)]),
    ((2.0, 0.0), [(0.1, 0.3), (-0.6, -0.2), (0.2, -0.6)]),
]


def identity() -> DenoisingAutoEncoder:
    """Return a denoising autoencoder with r(x̃) = x̃, whose loss is the squared error + log π."""
    likelihood = Gaussian(math.sqrt(0.5))
    model = DenoisingAutoEncoder((2,), 2, likelihood=likelihood, value_range=None, **mlps())
    model.double()
    for network in (model.encoder, model.decoder):
        affine(network).weight.data = torch.eye(2).double()
        affine(network).bias.data.zero_()
    return model.eval()


def loss(draws: Sequence[tuple[tuple[float, float], tuple[float, float]]]) -> float:
    """Return the objective's squared error on a batch of pairs (x, x̃ − x)."""
    x, noise = (torch.tensor(t, dtype=torch.float64) for t in zip(*draws, strict=True))
    model, places = identity(), torch.arange(len(x))
    out = model.propagate(Pair(x + noise, x, places, places))
    return float(model.objective(out)["loss"].detach()) - math.log(math.pi)


def nested(examples: list[Example]) -> float:
    """Return the mean over batches of one draw of every example, each combination once."""
    one_of_each = [[(x, c) for c in corruptions] for x, corruptions in examples]
    losses = [loss(draws) for draws in itertools.product(*one_of_each)]
    return sum(losses) / len(losses)


def flattened(examples: list[Example]) -> float:
    """Return the mean over one batch that holds every stored corruption."""
    return loss([(x, c) for x, corruptions in examples for c in corruptions])


class Seen(Callback):
    """Keep each epoch's corrupted inputs, in the order of the examples."""

    def __init__(self) -> None:
        self.epochs: list[Tensor] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Pair, batch_idx: int
    ) -> None:
        self.epochs.append(batch.x_tilde[batch.places.argsort()])


class DenoisingObjective(Claim):
    title = "The denoising objective"
    notes = ("4.1", "4.2")
    statement = """The denoising loss averages over the corruptions of each example and then over
        the examples; corruptions are drawn afresh at every step, and fixed only for validation."""
    formula = r"""$J = E_{x \sim p(x)}\; E_{\tilde x \sim C(\tilde x | x)}\;
        \left[\|\, x - g(f(\tilde x))\,\|^2\right]$"""
    source = "Vincent et al., 2008, Extracting and Composing Robust Features"
    correction = """The notes store corrupted copies. A stored list weights an example by its number
        of copies, and shows the network the same noise in every epoch, which it can memorise: draw
        anew at every training step, and fix the draw for validation only."""
    wrong_version = """A mean over pixels instead of a sum; the mean over a stored list with unequal
        numbers of copies; copies stored once for all epochs."""
    caption = """The notes' worked example, and one with unequal numbers of corruptions: two clean
        points, arrows to their corruptions, and the squared error of the identity at each."""

    def run(self, seed: int) -> Results:
        data = GaussianData([1.0] * 8, n=64, batch_size=64, corruption=Masking(0.5), seed=seed)
        model = DenoisingAutoEncoder(shape=data.shape, latent=8, value_range=None, **adam(1e-3))
        seen = Seen()
        fit(model, data, 2, seen)
        drawn = [epoch == 0 for epoch in seen.epochs]
        fixed = [data.pairs("val", range(64)).x_tilde == 0 for _ in range(2)]

        def same(first: Tensor, second: Tensor) -> float:
            return float((first == second).all(1).double().mean())

        what = "the worked example's distance from 0.25"
        wrong = {"mean over pixels": abs(nested(WORKED) / 2 - 0.25)}
        yield Check(what, abs(nested(WORKED) - 0.25), wrong, at_most=1e-12)
        what = "distance from 0.325 with 2 and 3 corruptions"
        wrong = {f"stored list, {flattened(UNEQUAL):.3f}": abs(flattened(UNEQUAL) - 0.325)}
        yield Check(what, abs(nested(UNEQUAL) - 0.325), wrong, at_most=1e-12)
        what = "share of examples with the same mask in two epochs"
        yield Check(what, same(*drawn), {"stored, as for validation": same(*fixed)}, at_most=0.1)

        for title, examples in {"worked example": WORKED, "unequal numbers": UNEQUAL}.items():
            figure, axes = panel(
                f"{title}: J = {nested(examples):.3f}", "first pixel", "second pixel", 2.4
            )
            for (x, corruptions), colour in zip(examples, COLOURS, strict=False):
                for dx, dy in corruptions:
                    tip = (x[0] + dx, x[1] + dy)
                    axes.annotate("", tip, x, arrowprops={"arrowstyle": "->", "color": colour})
                    place = (x[0] + 1.4 * dx, x[1] + 1.35 * dy)
                    axes.annotate(f"{dx * dx + dy * dy:.2f}", place, ha="center", va="center")
                axes.plot(*x, "o", color=colour)
            axes.set(xlim=(-1.1, 3), ylim=(-1, 1), aspect="equal")
            yield figure
