"""Penalties Ω on the code, its derivatives, the posterior and the weights."""

from .base import DegenerateObjective, Regularizer
from .contractive import Contractive, ContractiveHessian, ReconstructionContractive
from .divergences import MMD, GaussianKernel, InverseMultiquadratic, Kernel, Rate, TotalCorrelation
from .sparsity import L1, L2, SparsityKL, StudentT
from .weights import DecoderNorm, Orthogonality
