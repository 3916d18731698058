"""A linear autoencoder under squared error is principal component analysis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ae_lightning.autoencoder import AutoEncoder
from ae_lightning.core.types import ForwardPass
from ae_lightning.datamodules import Digits, PairDataModule
from ae_lightning.likelihoods import Laplace
from ae_lightning.model import Model
from ae_lightning.nn import MLP
from ae_lightning.regularizers.base import Regularizer
from ae_lightning.systems import LinearAutoEncoder, UndercompleteAutoEncoder
from ae_lightning.theory.fitting import adam, fit
from ae_lightning.theory.known_data import GaussianData, moments, principal_angle
from ae_lightning.theory.panels import matrix, strips
from ae_lightning.theory.probabilistic_pca import affine
from ae_lightning.theory.proof import Check, Claim, Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

D, K = 20, 5
VARIANCES = [4 * 0.8**i for i in range(D)]
PENALTY = 0.2  # λ in ½‖x − r(x)‖² + λ/2 (‖W₁‖² + ‖W₂‖²)


class BothNorms(Regularizer):
    """Penalise ½(‖W₁‖² + ‖W₂‖²): a plug-in, written as a user would write one."""

    def forward(self, model: Model, out: ForwardPass) -> Tensor:
        W1, W2 = (affine(net).weight for net in (model.encoder, model.decoder))
        return (W1.square().sum() + W2.square().sum()) / 2


def linear(data: PairDataModule, penalty: float = 0.0, steps: int = 500) -> LinearAutoEncoder:
    """Train a linear autoencoder in float64, with a penalty on both its maps."""
    options = {"value_range": None, **adam(0.03)}
    model = LinearAutoEncoder(data.shape, K, {"norms": BothNorms(penalty)}, **options)
    return fit(model, data, steps, double=True)


def factors(model: AutoEncoder) -> tuple[Tensor, Tensor]:
    """W₁ (K, D) and W₂ (D, K)."""
    W1, W2 = (affine(net).weight.detach() for net in (model.encoder, model.decoder))
    return W1, W2


class LinearIsPCA(Claim):
    title = "A linear autoencoder is PCA"
    statement = (
        "Two affine maps under squared error, trained to the end, span the principal subspace of "
        "the data, though in a basis of their own; with an L2 penalty on both maps, the decoder's "
        "singular vectors are the principal components themselves."
    )
    formula = (
        r"$\min_{W_1, W_2}\; E\,\|x - \mu - W_2 W_1 (x - \mu)\|^2 = \sum_{i>K} \lambda_i,"
        r"\qquad W_2 W_1 = V_K V_K^\top$"
    )
    source = (
        "Baldi and Hornik, 1989, Neural Networks and Principal Component Analysis; Kunin et al., "
        "2019, Loss Landscapes of Regularized Linear Autoencoders"
    )
    correction = (
        "It is so for squared error, and not for absolute error; biases are needed unless the "
        "data is centred; and what is found is the subspace, up to an invertible map of the code. "
        "Minimising the error maximises the projected variance for centred data and an orthogonal "
        "projector only: ‖X‖² = ‖XVVᵀ‖² + ‖X − XVVᵀ‖²."
    )
    wrong_version = (
        "The same maps under absolute error; the projector W₂W₂ᵀ, whose columns are not "
        "orthonormal; the same maps without the penalty."
    )
    caption = (
        "Cosines between the decoder's singular vectors and the principal components of Gaussian "
        "data: without a penalty the basis is any, with it the components themselves. Then the "
        "components of handwritten digits, by eigenvectors and as a linear autoencoder "
        "learns them, with the penalty and without it."
    )

    def run(self, seed: int) -> Outcome:
        data = GaussianData(VARIANCES, offset=3.0, n=1024, batch_size=1024, seed=seed)
        mean, values, V = moments(data.x)
        X = data.x - mean
        plain, penalised = linear(data), linear(data, PENALTY)
        absolute = UndercompleteAutoEncoder(
            data.shape,
            K,
            MLP(widths=()),
            MLP(widths=()),
            Laplace(),
            value_range=None,
            **adam(0.03),
        )
        fit(absolute, data, 500, double=True)

        def excess(model: AutoEncoder) -> float:
            error = (model.reconstruct(data.x) - data.x).square().sum(1).mean()
            return float(error / values[K:].sum() - 1)

        def angle(model: AutoEncoder) -> float:
            return principal_angle(factors(model)[1], V[:, :K])

        def split(P: Tensor) -> float:
            """How far ‖X‖² is from the sum of the projected and the lost variance."""
            parts = (X @ P).square().sum() + (X - X @ P).square().sum()
            return float((parts / X.square().sum() - 1).abs())

        U, W = plain.principal_subspace(), factors(plain)[1]
        expected = (1 - PENALTY / values[:K]).sqrt()

        def singular_values(model: AutoEncoder) -> float:
            return float((torch.linalg.svdvals(factors(model)[1]) - expected).abs().max())

        def transposed(model: AutoEncoder) -> float:
            W1, W2 = factors(model)
            return float((W1 - W2.T).abs().max())

        def components(model: AutoEncoder) -> float:
            W2 = factors(model)[1]
            left = torch.linalg.svd(W2, full_matrices=False).U
            return max(sine(left[:, k], V[:, k]) for k in range(K))

        checks = [
            Check(
                "excess squared error over PCA, as a share",
                excess(plain),
                at_most=1e-4,
                wrong={"absolute error": excess(absolute)},
            ),
            Check(
                "largest angle between the subspaces, degrees",
                angle(plain),
                at_most=0.1,
                wrong={"absolute error": angle(absolute)},
            ),
            Check(
                "projected + lost variance against the whole, relative",
                split(U @ U.T),
                at_most=1e-10,
                wrong={"columns not orthonormal": split(W @ W.T)},
            ),
            *(
                Check(what, f(penalised), at_most=1e-5, wrong={"no penalty": f(plain)})
                for what, f in {
                    "with L2 on both: |W₁ − W₂ᵀ|, largest": transposed,
                    "with L2 on both: singular values against √(1 − λ/λᵢ)": singular_values,
                    "with L2 on both: sine between singular vectors and components": components,
                }.items()
            ),
        ]
        return Outcome(checks, [*cosines(plain, penalised, V), digits(seed)])


def sine(u: Tensor, v: Tensor) -> float:
    """The sine of the angle between two lines, given by unit vectors."""
    return float((u - v * (u @ v)).norm())


def cosines(plain: AutoEncoder, penalised: AutoEncoder, V: Tensor) -> list[Figure]:
    """Heat maps of |cosine| between the decoders' singular vectors and the components."""
    panels = []
    for title, model in {"squared error": plain, "squared error and L2": penalised}.items():
        left = torch.linalg.svd(factors(model)[1], full_matrices=False).U
        panels.append(matrix(title, (V[:, :K].T @ left).abs(), "singular vector", "component"))
    return panels


def digits(seed: int) -> Figure:
    """The components of handwritten digits, by eigenvectors and as learned."""
    data = Digits(batch_size=1300, seed=seed)
    data.setup()
    x = data.pairs("train", range(len(data.sets["train"]))).x  # type: ignore[arg-type]
    _, _, V = moments(x.flatten(1).double())
    rows = {"PCA": V[:, :K]}
    for name, penalty in {"with L2": 0.01, "without": 0.0}.items():
        W = factors(linear(data, penalty))[1]
        U = torch.linalg.svd(W, full_matrices=False).U
        rows[name] = U * (U * V[:, :K]).sum(0).sign()
    return strips("components of digits", {n: U.T.reshape(K, 1, 8, 8) for n, U in rows.items()})
