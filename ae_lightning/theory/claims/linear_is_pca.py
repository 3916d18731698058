"""A linear autoencoder under squared error is principal component analysis."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ae_lightning.core.types import ForwardPass
from ae_lightning.datamodules import Digits, PairDataModule
from ae_lightning.model import Model
from ae_lightning.regularizers.base import Regularizer
from ae_lightning.systems import LinearAutoEncoder
from ae_lightning.theory.fitting import adam, fit
from ae_lightning.theory.known_data import GaussianData
from ae_lightning.theory.linear_models import absolute_error_autoencoder, affine
from ae_lightning.theory.numerics import largest_angle, pca
from ae_lightning.theory.panels import matrix, strips
from ae_lightning.theory.proof import Check, Claim, Results

D, K = 20, 5
VARIANCES = [4 * 0.8**i for i in range(D)]
PENALTY = 0.2  # λ in ½‖x − r(x)‖² + λ/2 (‖W₁‖² + ‖W₂‖²)
OPTIONS = {"value_range": None, **adam(0.03)}


class BothNorms(Regularizer):
    """Penalise ½(‖W₁‖² + ‖W₂‖²): a plug-in, written as a user would write one."""

    def forward(self, model: Model, out: ForwardPass) -> Tensor:
        W1, W2 = both_maps(model)
        return (W1.square().sum() + W2.square().sum()) / 2


def trained(data: PairDataModule, penalty: float = 0.0, steps: int = 500) -> LinearAutoEncoder:
    """Train a linear autoencoder in float64, with a penalty on both its maps."""
    norms = {"norms": BothNorms(penalty)}
    model = LinearAutoEncoder(data.shape, K, regularizers=norms, **OPTIONS)
    return fit(model, data, steps, double=True)


def both_maps(model: Model) -> tuple[Tensor, Tensor]:
    """Return W₁ (K, D) and W₂ (D, K)."""
    return affine(model.encoder).weight, affine(model.decoder).weight


def left_singular_vectors(model: Model) -> Tensor:
    """Return those of W₂, in columns (D, K)."""
    return torch.linalg.svd(both_maps(model)[1], full_matrices=False).U  # type: ignore[no-any-return]


class LinearIsPCA(Claim):
    title = "A linear autoencoder is PCA"
    notes = ("2.1", "2.2")
    statement = """Trained to convergence under squared error, two affine maps span the principal
        subspace of the data, though in an arbitrary basis; with an L2 penalty on both maps, the
        decoder's singular vectors are the principal components themselves."""
    formula = r"""$\min_{W_1, W_2}\; E\,\|x - \mu - W_2 W_1 (x - \mu)\|^2 = \sum_{i>K} \lambda_i,
        \qquad W_2 W_1 = V_K V_K^\top$"""
    source = """Baldi and Hornik, 1989, Neural Networks and Principal Component Analysis; Kunin et
        al., 2019, Loss Landscapes of Regularized Linear Autoencoders"""
    correction = """This holds for squared error, not for absolute error; it needs biases unless the
        data is centred; and it finds the subspace only up to an invertible map of the code.
        Minimising the error maximises the projected variance only for centred data and an
        orthogonal projector: ‖X‖² = ‖XVVᵀ‖² + ‖X − XVVᵀ‖²."""
    wrong_version = """The same maps under absolute error; the projector W₂W₂ᵀ, whose columns are
        not orthonormal; the same maps without the penalty."""
    caption = """Cosines between the decoder's singular vectors and the principal components of
        Gaussian data: without a penalty the basis is arbitrary, with it the components themselves.
        Then the components of handwritten digits, as eigenvectors and as a linear autoencoder
        learns them, with the penalty and without it."""

    def run(self, seed: int) -> Results:
        data = GaussianData(VARIANCES, offset=3.0, n=1024, batch_size=1024, seed=seed)
        mean, values, V = pca(data.x)
        X = data.x - mean
        plain, penalised = trained(data), trained(data, PENALTY)
        absolute = absolute_error_autoencoder(data.shape, K, **OPTIONS)
        fit(absolute, data, 500, double=True)

        def excess(model: Model) -> float:
            error = (model.reconstruct(data.x) - data.x).square().sum(1).mean()
            return float(error / values[K:].sum() - 1)

        def angle(model: Model) -> float:
            return float(largest_angle(both_maps(model)[1], V[:, :K]))

        def split(U: Tensor) -> float:
            """Return how far the variances along U and lost are from adding up to ‖X‖²."""
            P = U @ U.T
            parts = (X @ P).square().sum() + (X - X @ P).square().sum()
            return float((parts / X.square().sum() - 1).abs())

        def transposed(model: Model) -> float:
            W1, W2 = both_maps(model)
            return float((W1 - W2.T).abs().max())

        def singular_values(model: Model) -> float:
            expected = (1 - PENALTY / values[:K]).sqrt()
            return float((torch.linalg.svdvals(both_maps(model)[1]) - expected).abs().max())

        def components(model: Model) -> float:
            U = left_singular_vectors(model)
            return max(sine(U[:, k], V[:, k]) for k in range(K))

        wrong = {"absolute error": excess(absolute)}
        yield Check("excess squared error over PCA, as a share", excess(plain), wrong, at_most=1e-4)
        what = "largest angle between the subspaces, degrees"
        yield Check(what, angle(plain), {"absolute error": angle(absolute)}, at_most=0.1)
        what = "projected + lost variance against the total, relative"
        wrong = {"columns not orthonormal": split(both_maps(plain)[1])}
        yield Check(what, split(plain.principal_subspace()), wrong, at_most=1e-10)
        for what, f in {
            "with L2 on both maps: largest |W₁ − W₂ᵀ|": transposed,
            "with L2 on both maps: singular values against √(1 − λ/λᵢ)": singular_values,
            "with L2 on both maps: sine between singular vector and component": components,
        }.items():
            yield Check(what, f(penalised), {"no penalty": f(plain)}, at_most=1e-5)

        for title, model in {"squared error": plain, "squared error and L2": penalised}.items():
            cosines = (V[:, :K].T @ left_singular_vectors(model)).abs()
            yield matrix(title, cosines, "singular vector", "component")
        yield digits(seed)


def sine(u: Tensor, v: Tensor) -> float:
    """Return the sine of the angle between two lines, given by unit vectors."""
    return float((u - v * (u @ v)).norm())


def digits(seed: int) -> Figure:
    """Draw the components of handwritten digits, as eigenvectors and as learned."""
    data = Digits(batch_size=1300, seed=seed)
    data.setup()
    x = data.pairs("train", range(len(data.sets["train"]))).x  # type: ignore[arg-type]
    V = pca(x.flatten(1).double())[2][:, :K]
    rows = {"PCA": V}
    for name, penalty in {"with L2": 0.01, "without": 0.0}.items():
        U = left_singular_vectors(trained(data, penalty))
        rows[name] = U * (U * V).sum(0).sign()
    return strips("components of digits", {n: U.T.reshape(K, 1, 8, 8) for n, U in rows.items()})
