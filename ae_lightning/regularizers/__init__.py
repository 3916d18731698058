"""Penalties Ω on the code, its derivatives, the posterior and the weights."""

from .base import DegenerateObjective as DegenerateObjective
from .base import Regularizer as Regularizer
from .contractive import Contractive as Contractive
from .contractive import ContractiveHessian as ContractiveHessian
from .contractive import ReconstructionContractive as ReconstructionContractive
from .divergences import MMD as MMD
from .divergences import GaussianKernel as GaussianKernel
from .divergences import InverseMultiquadratic as InverseMultiquadratic
from .divergences import Kernel as Kernel
from .divergences import Rate as Rate
from .divergences import TotalCorrelation as TotalCorrelation
from .sparsity import L1 as L1
from .sparsity import L2 as L2
from .sparsity import SparsityKL as SparsityKL
from .sparsity import StudentT as StudentT
from .weights import DecoderNorm as DecoderNorm
from .weights import Orthogonality as Orthogonality
