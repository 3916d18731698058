"""A decoder's Jacobian spans the tangent space of the surface it has learned."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ae_lightning import geometry
from ae_lightning.callbacks.drawing.theme import COLOURS
from ae_lightning.datamodules import Manifold, PairDataModule, SwissRoll
from ae_lightning.likelihoods import Gaussian
from ae_lightning.model import Model
from ae_lightning.systems import LinearAutoEncoder, UndercompleteAutoEncoder
from ae_lightning.theory.fitting import adam, fit, mlps
from ae_lightning.theory.known_data import Blobs
from ae_lightning.theory.numerics import median_angle
from ae_lightning.theory.panels import panel, strips
from ae_lightning.theory.proof import Check, Claim, Results


def fit_mlp(data: PairDataModule, width: int, lr: float, steps: int) -> UndercompleteAutoEncoder:
    """Train a nonlinear autoencoder with a code of two elements."""
    options = {"likelihood": Gaussian(), "value_range": data.value_range, **adam(lr)}
    model = UndercompleteAutoEncoder(data.shape, 2, **mlps(width, width), **options)
    return fit(model, data, steps)


def fit_linear(data: PairDataModule) -> LinearAutoEncoder:
    """Train a linear autoencoder with a code of two elements."""
    model = LinearAutoEncoder(data.shape, 2, value_range=data.value_range, **adam(0.03))
    return fit(model, data, 300)


def learned_tangents(model: Model, x: Tensor) -> Tensor:
    """Return a basis of what the decoder's Jacobian spans at the code of x: (B, 2, *S)."""
    return geometry.decoder_tangents(lambda z: model.decode(z).mean, model.code(x), 2)[0]


class DecodersFindTangents(Claim):
    title = "A decoder's Jacobian spans the tangents"
    notes = ("7.3",)
    statement = """A nonlinear autoencoder whose code has as many elements as the data has degrees
        of freedom learns the surface on which the data lies: the left singular vectors of its
        decoder's Jacobian span the tangent space, for a rolled-up sheet and for images of a moving
        blob."""
    formula = r"""$J_g(z) = U S V^\top, \qquad \mathrm{span}(u_1, \ldots, u_K) \approx
        T_{g(z)}\mathcal{M}$"""
    source = """Rifai et al., 2011, The Manifold Tangent Classifier; Simard et al., 1992, Tangent
        Prop"""
    correction = """Encoder tangents are the right singular vectors of J_f, decoder tangents the
        left ones of J_g."""
    wrong_version = """The right singular vectors of the encoder's Jacobian, without a penalty; a
        linear autoencoder, whose tangent space is the same everywhere."""
    caption = """The swiss roll from its side, with learned tangents; and images of a blob, their
        derivatives by its position, and the part of these that the decoder's tangents span."""

    def run(self, seed: int) -> Results:
        options = {"batch_size": 256, "seed": seed, "split_seed": seed}
        toy = SwissRoll()
        roll, blobs = Manifold(toy, size=20_000, **options), Blobs(**options)
        x, images = (data.pairs("test", range(300)).x for data in (roll, blobs))
        planes, shifts = toy.tangents(x), blobs.tangents("test")[:300]
        rolled = fit_mlp(roll, 128, 3e-3, 4000)
        moving = fit_mlp(blobs, 256, 2e-3, 2000)
        on_roll, on_blobs = learned_tangents(rolled, x), learned_tangents(moving, images)
        encoded = geometry.tangents(rolled.code, x, 2)[0]
        what = "swiss roll: median angle between the tangent planes, degrees"
        wrong = {
            "encoder's Jacobian": median_angle(encoded, planes),
            "linear": median_angle(learned_tangents(fit_linear(roll), x), planes),
        }
        yield Check(what, median_angle(on_roll, planes), wrong, at_most=10.0)
        what = "moving blob: median angle between the tangent planes, degrees"
        wrong = {"linear": median_angle(learned_tangents(fit_linear(blobs), images), shifts)}
        yield Check(what, median_angle(on_blobs, shifts), wrong, at_most=10.0)
        yield from (side_view(x, on_roll), translations(images, shifts, on_blobs))


def side_view(x: Tensor, tangents: Tensor) -> Figure:
    """Draw the roll seen along its axis, and each tangent plane as a line."""
    figure, axes = panel("swiss roll, from its side", "x₁", "x₃")
    axes.scatter(x[:, 0], x[:, 2], s=4, color="lightgray", linewidths=0)
    for at, plane in zip(x[:80], tangents[:80], strict=True):
        # The direction in the plane that has no component along the line of sight, x₂.
        along = torch.stack([-plane[1, 1], plane[0, 1]]) @ plane
        along = 0.12 * along / along.norm()
        ends = torch.stack([at - along, at + along])
        axes.plot(ends[:, 0], ends[:, 2], color=COLOURS[1], linewidth=1.2)
    axes.set(aspect="equal")
    return figure


def translations(images: Tensor, true: Tensor, learned: Tensor) -> Figure:
    """Draw blobs, their derivatives, and the projections of these on the decoder's tangents."""
    share = torch.einsum("bk...,bl...->bkl", true, learned)
    within = torch.einsum("bkl,bl...->bk...", share, learned)
    some = slice(0, 5)
    rows = {"image": images[some], "moved right": true[some, 0], "learned": within[some, 0]}
    rows |= {"moved down": true[some, 1], "learned ": within[some, 1]}
    return strips("derivatives of images", rows)
