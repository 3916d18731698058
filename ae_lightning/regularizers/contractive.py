"""Contractive penalties: on derivatives with respect to the input."""

import warnings

import torch
from torch import Tensor, nn

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import ForwardPass
from ae_lightning.geometry import (
    at_once,
    basis,
    code_projections,
    squared_jacobian,
    squared_reconstruction_jacobian,
    vector_jacobian,
)
from ae_lightning.model import Model
from ae_lightning.nn import Sigmoid, UnitNorm
from ae_lightning.regularizers.base import DegenerateObjective, Regularizer, noise_of
from ae_lightning.regularizers.sparsity import warn_of_free_scale
from ae_lightning.schedules import Schedule

PIECEWISE_LINEAR = (
    *(nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Hardtanh, nn.Hardsigmoid),
    *(nn.Threshold, nn.Hardshrink, nn.Softshrink),
)


def warn_of_piecewise_linear(penalty: Regularizer, model: Model, *networks: nn.Module) -> None:
    """Warn if a derivative is piecewise constant, so that the penalty only shrinks weights."""
    curved = isinstance(model.posterior.activation, Sigmoid | UnitNorm)
    found = (m for n in networks for m in n.modules() if isinstance(m, PIECEWISE_LINEAR))
    if not curved and (kink := next(found, None)) is not None:
        warnings.warn(
            f"{type(penalty).__name__} through {type(kink).__name__} only shrinks weights, since "
            "its derivative is piecewise constant: use a smooth activation such as SiLU.",
            DegenerateObjective,
            stacklevel=3,
        )


class Contractive(Regularizer):
    r"""Penalise the code's sensitivity to the input, ‖∂f/∂x‖²_F at the clean x.

    With n random projections, training uses the unbiased estimate mean_i ‖u_iᵀ ∂f/∂x‖² with
    u_i ~ N(0, I), of variance 2‖JJᵀ‖²_F/n; evaluation is always exact. Through an MLP the exact
    penalty costs two products of the layers' Jacobians; for one sigmoid layer it is
    Σ_k (h_k(1 − h_k))² ‖W_k‖².

    Args:
        weight: w in w·Ω.
        projections: n, or None for the exact norm.

    References:
        | Contractive Auto-Encoders: Explicit Invariance During Feature Extraction (Rifai et al.,
          2011)
        | A Stochastic Estimator of the Trace of the Influence Matrix (Hutchinson, 1990)

    >>> from ae_lightning.systems import ContractiveAutoEncoder
    >>> penalties = {"contractive": Contractive(0.1, projections=1)}
    >>> ContractiveAutoEncoder((1, 8, 8), regularizers=penalties).weights()
    {'contractive': 0.1}
    """

    penalises_jacobian = True

    def __init__(self, weight: float | Schedule = 1.0, projections: int | None = None) -> None:
        super().__init__(weight)
        if projections is not None and projections < 1:
            raise UsageError(
                f"projections is {projections}: expected 1 or more, or None for exact."
            )
        self.projections = projections

    def check(self, model: Model) -> None:
        warn_of_piecewise_linear(self, model, model.encoder)
        warn_of_free_scale(self, model)

    def forward(self, model: Model, out: ForwardPass) -> Tensor:
        # Those of autocast are of half precision, and are computed again.
        same = out.x_tilde is out.x and out.features.dtype == out.x.dtype
        features = out.features if same else None
        if self.projections is None or not model.training:
            return squared_jacobian(model, out.x, features)
        u = torch.randn_like(out.z[0].expand(self.projections, -1, -1))  # (n, B, K)
        return code_projections(model, out.x, u, features).square().sum(2).mean(0)


class ReconstructionContractive(Contractive):
    r"""Penalise the reconstruction's sensitivity to the input, ‖∂r/∂x‖²_F at the clean x.

    For small Gaussian noise, and where r(x) is x, σ² times this is what denoising adds to the
    squared error. A decoder cannot undo it by rescaling the code.

    Args:
        weight: w in w·Ω.
        projections: n random projections as in `Contractive`, or None for the exact norm;
            evaluation is always exact.

    References:
        | What Regularized Auto-Encoders Learn from the Data-Generating Distribution (Alain and
          Bengio, 2014)

    >>> from ae_lightning.systems import UndercompleteAutoEncoder
    >>> penalties = {"flat": ReconstructionContractive(0.01)}
    >>> UndercompleteAutoEncoder((1, 8, 8), regularizers=penalties).weights()
    {'flat': 0.01}
    """

    penalises_jacobian = False  # of the code

    def __init__(self, weight: float | Schedule = 1.0, projections: int | None = 1) -> None:
        super().__init__(weight, projections)

    def check(self, model: Model) -> None:
        if not model.likelihood.unit_interval:  # its mean is a sigmoid of the features
            warn_of_piecewise_linear(self, model, model.encoder, model.decoder)

    def forward(self, model: Model, out: ForwardPass) -> Tensor:
        if self.projections is None or not model.training:
            return squared_reconstruction_jacobian(model, out.x)
        u = torch.randn_like(out.x.expand(self.projections, *out.x.shape))
        return vector_jacobian(model.reconstruct, out.x, u).square().flatten(2).sum(2).mean(0)


class ContractiveHessian(Contractive):
    r"""Penalise ‖J(x)‖²_F + γ E‖J(x) − J(x + ε)‖²_F, with J = ∂f/∂x and ε ~ N(0, σ²I).

    As σ → 0 the second term is γσ² times the squared norm of the code's Hessian.

    Args:
        weight: w in w·Ω.
        gamma: γ, the weight of the curvature.
        sigma: σ, in units of the input.
        samples: the number of ε drawn per example.
        projections: n random projections as in `Contractive`, the same at x and x + ε, or None
            for exact Jacobians; evaluation is always exact.

    References:
        | Higher Order Contractive Auto-Encoder (Rifai et al., 2011)

    >>> from ae_lightning.systems import ContractiveAutoEncoder
    >>> penalties = {"contractive": ContractiveHessian(0.1)}
    >>> ContractiveAutoEncoder((1, 8, 8), regularizers=penalties).weights()
    {'contractive': 0.1}
    """

    def __init__(
        self,
        weight: float | Schedule = 1.0,
        gamma: float = 1.0,
        sigma: float = 0.1,
        samples: int = 2,
        projections: int | None = None,
    ) -> None:
        super().__init__(weight, projections)
        if not sigma > 0 or samples < 1:
            raise UsageError(
                f"sigma is {sigma}, samples {samples}: expected sigma above 0 and 1 sample or more."
            )
        self.gamma, self.sigma, self.samples = gamma, sigma, samples

    def forward(self, model: Model, out: ForwardPass) -> Tensor:
        x, z = out.x, out.z[0]
        with noise_of(model):
            # In evaluation every example gets the same ε, at any batch size.
            examples = x if model.training else x[:1]
            epsilon = self.sigma * torch.randn_like(examples.expand(self.samples, *examples.shape))
            if self.projections is None or not model.training:
                u = basis(z.shape[1:], z)
            else:
                u = torch.randn_like(z.expand(self.projections, *z.shape)) / self.projections**0.5
        rows = u.split(len(u) if model.training else at_once(model.code, x))
        return sum(self.squares(model, x, epsilon, v) for v in rows)  # type: ignore[return-value]

    def squares(self, model: Model, x: Tensor, epsilon: Tensor, u: Tensor) -> Tensor:
        """‖uᵀJ(x)‖² + γ mean ‖uᵀJ(x) − uᵀJ(x + ε)‖² of n vectors u (n, B, K): (B,)."""
        J = vector_jacobian(model.code, x, u)  # (n, B, *S)
        change = [vector_jacobian(model.code, x + e, u) - J for e in epsilon]
        H = torch.stack([c.square().transpose(0, 1).flatten(1).sum(1) for c in change]).mean(0)
        return J.square().transpose(0, 1).flatten(1).sum(1) + self.gamma * H
