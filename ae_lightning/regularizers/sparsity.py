"""Penalties on the code: sparsity, and the negative log densities of priors."""

import warnings
from abc import ABC

import torch
from torch import Tensor
from torch.distributions import Bernoulli, kl_divergence

from ae_lightning.core.errors import UsageError, above
from ae_lightning.core.types import ForwardPass
from ae_lightning.model import Model
from ae_lightning.nn import Rectifier, Sigmoid
from ae_lightning.posteriors import DiagonalGaussian, Posterior
from ae_lightning.priors import ExponentialPrior, LaplacePrior, NormalPrior, Prior
from ae_lightning.regularizers.base import DegenerateObjective, Regularizer, whole
from ae_lightning.schedules import Schedule


def warn_of_free_scale(penalty: Regularizer, model: Model) -> None:
    """Warn if f/c with g(c·) would keep the reconstruction and shrink the penalty for free.

    The scale is held by a normalised code, a decoder that is tied or one layer of unit columns,
    noise of fixed σ on the code, or another part of the objective that holds it. A sigmoid code
    does not: near its middle it is linear, and an untied decoder undoes any shrinking of the
    features.
    """
    activation, posterior = model.posterior.activation, model.posterior
    held = (
        (activation is not None and activation.normalised)
        or model.decoder.holds_scale
        or (isinstance(posterior, DiagonalGaussian) and posterior.sigma is not None)
        or (model.bound_holds_prior and not model.prior.learned)
        or any(r.active and r.holds_scale(model) for r in model.regularizers.values())
    )
    if not held:
        warnings.warn(
            f"{type(penalty).__name__} can be lowered for free, by a smaller code that the "
            "decoder scales back: use a UnitVariance code, a TiedMLP decoder, or DecoderNorm.",
            DegenerateObjective,
            stacklevel=3,
        )


class LogDensity(Regularizer, ABC):
    """The code's −log density under a prior: a smaller code lowers it."""

    sees_outputs_only = True

    def check(self, model: Model) -> None:
        warn_of_free_scale(self, model)


class L1(LogDensity):
    r"""Penalise E_q ‖z‖₁/b, the code's −log density under a Laplace prior up to a constant.

    −log Laplace(z; 0, b) = ‖z‖₁/b + K log 2b: weight 1 is the maximum a posteriori estimate.

    Args:
        weight: w in w·Ω.
        scale: b, in units of the code.

    References:
        | Emergence of Simple-Cell Receptive Field Properties by Learning a Sparse Code for
          Natural Images (Olshausen and Field, 1996)

    >>> from ae_lightning.systems import SparseAutoEncoder
    >>> SparseAutoEncoder((1, 8, 8), regularizers={"l1": L1(0.3)}).weights()
    {'l1': 0.3}
    """

    def __init__(self, weight: float | Schedule = 1.0, scale: float = 1.0) -> None:
        super().__init__(weight)
        self.scale = above("scale", scale)

    def implied_prior(self, posterior: Posterior) -> Prior | None:
        one_sided = isinstance(posterior.activation, Rectifier)
        return (ExponentialPrior if one_sided else LaplacePrior)(self.scale / self.final_weight)

    def forward(self, model: Model, out: ForwardPass) -> Tensor:
        return out.z.abs().sum(-1).mean(0) / self.scale


class StudentT(LogDensity):
    r"""Penalise E_q Σ (ν+1)/2 · log(1 + z²/(ν b²)): a Student-t prior up to a constant.

    At ν = b = 1 it is Σ log(1 + z²); its pull on large codes vanishes, while L1's stays.

    Args:
        weight: w in w·Ω.
        df: the degrees of freedom ν.
        scale: b, in units of the code.

    References:
        | Emergence of Simple-Cell Receptive Field Properties by Learning a Sparse Code for
          Natural Images (Olshausen and Field, 1996)

    >>> from ae_lightning.systems import SparseAutoEncoder
    >>> SparseAutoEncoder((1, 8, 8), regularizers={"student": StudentT(0.1, df=2)}).weights()
    {'student': 0.1}
    """

    def __init__(self, weight: float | Schedule = 1.0, df: float = 1.0, scale: float = 1.0) -> None:
        super().__init__(weight)
        self.df, self.scale = above("df", df), above("scale", scale)

    def forward(self, model: Model, out: ForwardPass) -> Tensor:
        t = (out.z / self.scale).square() / self.df
        return (self.df + 1) / 2 * t.log1p().sum(-1).mean(0)


class L2(LogDensity):
    r"""Penalise E_q ½‖z‖², the code's −log density under N(0, I) up to a constant.

    With `DecoderNorm` this is the regularised autoencoder.

    References:
        | From Variational to Deterministic Autoencoders (Ghosh et al., 2020)

    >>> from ae_lightning.regularizers import DecoderNorm
    >>> from ae_lightning.systems import UndercompleteAutoEncoder
    >>> penalties = {"l2": L2(0.01), "decoder": DecoderNorm(1e-4)}
    >>> UndercompleteAutoEncoder((1, 8, 8), regularizers=penalties).weights()
    {'l2': 0.01, 'decoder': 0.0001}
    """

    def implied_prior(self, posterior: Posterior) -> Prior | None:
        return NormalPrior(self.final_weight**-0.5)

    def forward(self, model: Model, out: ForwardPass) -> Tensor:
        return out.z.square().sum(-1).mean(0) / 2


class SparsityKL(Regularizer):
    r"""Penalise Σ_k KL(ρ ‖ ρ̂_k), with ρ̂_k the mean activation of unit k over the batch.

    Args:
        weight: w in w·Ω.
        target: ρ, the mean activation that each unit should have.

    Raises:
        UsageError: if ρ is not in (0, 1), or the code does not come from a Sigmoid.

    References:
        | Sparse Deep Belief Net Model for Visual Area V2 (Lee, Ekanadham and Ng, 2008)

    >>> from ae_lightning.systems import SparseAutoEncoder
    >>> penalties = {"rho": SparsityKL(3.0)}
    >>> SparseAutoEncoder((1, 8, 8), activation=Sigmoid(), regularizers=penalties).weights()
    {'rho': 3.0}
    """

    sees_outputs_only = True

    def __init__(self, weight: float | Schedule = 1.0, target: float = 0.05) -> None:
        super().__init__(weight)
        if not 0 < target < 1:
            raise UsageError(f"target is {target}: expected an activation in (0, 1).")
        self.target = target

    def check(self, model: Model) -> None:
        if not isinstance(model.posterior.activation, Sigmoid):
            raise UsageError(
                "SparsityKL needs a code in (0, 1): use the posterior Dirac(Sigmoid())."
            )

    def forward(self, model: Model, out: ForwardPass) -> Tensor:
        code = whole(model.posterior.code(out.features), model)  # (B, K)
        limits = torch.finfo(code.dtype)
        mean = code.mean(0).clamp(limits.tiny, 1 - limits.eps)
        # By its logits: torch clamps probs to eps, below which no unit would rise again.
        rho_hat = Bernoulli(logits=mean.log() - (-mean).log1p(), validate_args=False)
        rho = Bernoulli(torch.full_like(mean, self.target), validate_args=False)
        return kl_divergence(rho, rho_hat).sum()
