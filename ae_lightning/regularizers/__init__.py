"""Penalties Ω on code, derivatives, posterior and weights, and the schedules of their weights."""

from ae_lightning.regularizers.aggregate import (
    MMD,
    GaussianKernel,
    InverseMultiquadratic,
    Kernel,
)
from ae_lightning.regularizers.base import DegenerateObjective, Regularizer
from ae_lightning.regularizers.code import L1, L2, SparsityKL, StudentT
from ae_lightning.regularizers.jacobian import (
    Contractive,
    ContractiveHessian,
    ReconstructionContractive,
)
from ae_lightning.regularizers.posterior import Rate, TotalCorrelation
from ae_lightning.regularizers.schedules import Clock, Cosine, Cyclic, Linear, OneCycle, Schedule
from ae_lightning.regularizers.weights import DecoderNorm, Orthogonality

__all__ = [
    "L1",
    "L2",
    "MMD",
    "Clock",
    "Contractive",
    "ContractiveHessian",
    "Cosine",
    "Cyclic",
    "DecoderNorm",
    "DegenerateObjective",
    "GaussianKernel",
    "InverseMultiquadratic",
    "Kernel",
    "Linear",
    "OneCycle",
    "Orthogonality",
    "Rate",
    "ReconstructionContractive",
    "Regularizer",
    "Schedule",
    "SparsityKL",
    "StudentT",
    "TotalCorrelation",
]
