"""Penalties Ω on the code, its derivatives, the posterior and the weights."""

from ae_lightning.regularizers.base import DegenerateObjective, Regularizer
from ae_lightning.regularizers.contractive import (
    Contractive,
    ContractiveHessian,
    ReconstructionContractive,
)
from ae_lightning.regularizers.divergences import (
    MMD,
    GaussianKernel,
    InverseMultiquadratic,
    Kernel,
    Rate,
    TotalCorrelation,
)
from ae_lightning.regularizers.sparsity import L1, L2, SparsityKL, StudentT
from ae_lightning.regularizers.weights import DecoderNorm, Orthogonality

__all__ = [
    "L1",
    "L2",
    "MMD",
    "Contractive",
    "ContractiveHessian",
    "DecoderNorm",
    "DegenerateObjective",
    "GaussianKernel",
    "InverseMultiquadratic",
    "Kernel",
    "Orthogonality",
    "Rate",
    "ReconstructionContractive",
    "Regularizer",
    "SparsityKL",
    "StudentT",
    "TotalCorrelation",
]
