"""A denoising autoencoder learns the score of the smoothed density."""

from collections.abc import Iterator

from matplotlib.figure import Figure
from torch import Tensor

from ae_lightning import geometry
from ae_lightning.callbacks.drawing import fields
from ae_lightning.callbacks.drawing.theme import COLOURS
from ae_lightning.callbacks.drawing.vectors import label_axes, plane
from ae_lightning.corruptions import GaussianNoise
from ae_lightning.datamodules import Manifold, MixtureOfGaussians, Ring, Toy
from ae_lightning.likelihoods import Gaussian
from ae_lightning.model import Model
from ae_lightning.nn import MLP, Identity, Residual
from ae_lightning.systems import DenoisingAutoEncoder
from ae_lightning.theory.fitting import adam, fit
from ae_lightning.theory.panels import colorbar, panel
from ae_lightning.theory.proof import Check, Claim, Results

# Bounds on the relative error, by toy and σ.
BOUNDS: list[tuple[str, Toy, dict[float, float]]] = [
    ("mixture", MixtureOfGaussians(), {0.5: 0.04, 0.25: 0.06, 0.1: 0.1, 0.05: 0.13}),
    ("ring", Ring(), {0.2: 0.08, 0.1: 0.08}),
]
OFF = 1.15  # a score that is too small by this factor must be told apart
# Where the noise is large enough that p_σ and the data's own density p have different scores.
TOLD_APART = [("mixture", 0.5), ("mixture", 0.25)]
COSINE = 0.98
PLAIN = ("mixture", 0.1)  # on which a plain network is trained too
SHOWN = ("mixture", 0.25)
CELLS = 21


def denoiser(sigma: float, plain: bool = False) -> DenoisingAutoEncoder:
    """Return r(x̃) = x̃ + σ² s(x̃), with s a network; or a plain network r."""
    s = MLP(widths=(64, 64, 64))
    r = s if plain else Residual(s, scale=sigma**2)
    options = {"likelihood": Gaussian(sigma), "value_range": None, **adam(1e-2)}
    return DenoisingAutoEncoder((2,), 2, encoder=Identity(), decoder=r, **options)


class Estimate:
    """The score that denoising at σ learns, beside the exact one, at corrupted test points."""

    def __init__(self, toy: Toy, sigma: float, seed: int, plain: bool = False) -> None:
        noise = GaussianNoise(sigma)
        options = {"batch_size": 1024, "seed": seed, "split_seed": seed}
        self.toy, self.sigma = toy, sigma
        self.data = Manifold(toy, size=200_000, corruption=noise, **options)
        self.model: Model = fit(denoiser(sigma, plain), self.data, 2000)
        self.x = self.data.pairs("test", range(5000)).x_tilde
        self.learned, self.true = self.estimate(self.x), self.exact(self.x)

    def estimate(self, x: Tensor) -> Tensor:
        return geometry.score(self.model, x, self.sigma)

    def exact(self, x: Tensor) -> Tensor:
        return self.toy.score(x.double(), self.sigma).float()  # type: ignore[no-any-return]

    def error(self, scale: float = 1.0) -> float:
        """Return the RMS error of the estimate times `scale`, over the RMS of the exact score."""
        return float((scale * self.learned - self.true).norm() / self.true.norm())

    def unsmoothed(self) -> float:
        """Return the error of the score of the data's own density."""
        own = self.toy.score(self.x.double()).float()
        return float((own - self.true).norm() / self.true.norm())

    def cosine(self, scale: float = 1.0) -> float:
        """Return the cosine between the estimate times `scale` and the exact score, over all points
        as one vector."""
        product = (scale * self.learned * self.true).sum()
        return float(product / (scale * self.learned).norm() / self.true.norm())


class DenoisingLearnsTheScore(Claim):
    title = "Denoising learns the score"
    notes = ("5.1",)
    statement = """Under Gaussian corruption and squared error, what the best reconstruction adds to
        its input is the noise's variance times the gradient of the log-density of the corrupted
        data."""
    formula = r"""$\frac{r(\tilde x) - \tilde x}{\sigma^2} = \nabla \log p_\sigma(\tilde x),
        \qquad p_\sigma = p * N(0, \sigma^2 I)$"""
    source = """Vincent, 2011, A Connection Between Score Matching and Denoising Autoencoders; Alain
        and Bengio, 2014, What Regularized Auto-Encoders Learn"""
    correction = """The notes take g(f(x)) − x for the score. It must be divided by σ², and is the
        score of the smoothed density p_σ; the mass function of a discrete x has none. A network
        that learns r itself spends its capacity on the identity; one that learns the change comes
        far closer."""
    wrong_version = """Dividing by σ; a score that is too small by a seventh; the score of the
        data's own density; the opposite sign; a plain network r, without a skip connection."""
    caption = """The learned and the exact score as arrows over contours of the log-density, and the
        length of their difference; cells that noise does not reach from the data are left blank."""

    def run(self, seed: int) -> Results:
        for name, toy, bounds in BOUNDS:
            for sigma, bound in bounds.items():
                fitted = Estimate(toy, sigma, seed)
                wrong = {"divided by σ": fitted.error(sigma), "too small": fitted.error(1 / OFF)}
                if (name, sigma) in TOLD_APART:
                    wrong["of the data's own density"] = fitted.unsmoothed()
                if (name, sigma) == PLAIN:
                    wrong["plain network"] = Estimate(toy, sigma, seed, plain=True).error()
                if (name, sigma) == SHOWN:
                    yield from pictures(fitted)
                what = f"{name}, σ = {sigma}: relative error of the score"
                yield Check(what, fitted.error(), wrong, at_most=bound)
                what = f"{name}, σ = {sigma}: cosine with the score"
                wrong = {"opposite sign": fitted.cosine(-1)}
                yield Check(what, fitted.cosine(), wrong, at_least=COSINE)


def pictures(fitted: Estimate) -> Iterator[Figure]:
    """Draw both fields over the log-density, and the length of their difference."""
    x = fitted.data.pairs("test", range(2000)).x
    onto = plane(x)
    grid = fields.field(x, fields.reach(fitted.sigma, 2), onto, x, CELLS)
    fine = fields.field(x, fields.reach(fitted.sigma, 2), onto, x, 4 * CELLS)
    log_p = fine.evaluate(lambda p: fitted.toy.log_prob(p.double(), fitted.sigma).float())
    learned, exact = grid.evaluate(fitted.estimate), grid.evaluate(fitted.exact)
    longest = float(exact[grid.seen].norm(dim=1).max())
    for title, vectors, colour in (("learned", learned, COLOURS[1]), ("exact", exact, COLOURS[0])):
        figure, axes = panel(f"{title}, σ = {fitted.sigma}")
        fields.show_density(axes, fine, log_p)
        fields.show_arrows(axes, grid, vectors, colour, longest)
        label_axes(axes, ("x₁", "x₂"))
        yield figure
    figure, axes = panel("|learned − exact|")
    missed = fine.evaluate(lambda p: (fitted.estimate(p) - fitted.exact(p)).norm(dim=1))
    colorbar(axes, fields.show_cells(axes, fine, missed, "magma_r"))
    label_axes(axes, ("x₁", "x₂"))
    yield figure
