"""Penalties Ω on the code, its derivatives, the posterior and the weights."""

from .base import DegenerateObjective, Regularizer
from .contractive import Contractive, ContractiveHessian, ReconstructionContractive
from .divergences import Rate, TotalCorrelation, WeightedTotalCorrelation
from .mmd import MMD, GaussianKernel, InverseMultiquadratic, Kernel
from .sparsity import L1, L2, SparsityKL, StudentT
from .walkback import Walkback
from .weights import DecoderNorm, Orthogonality
