"""What torch.distributions lacks: products over whole examples, a point mass, keyed samples, KL."""

from ae_lightning.distributions.categorical import IndependentCategorical
from ae_lightning.distributions.continuous_bernoulli import IndependentContinuousBernoulli
from ae_lightning.distributions.independent import (
    IndependentBernoulli,
    IndependentLaplace,
    IndependentNormal,
    single,
)
from ae_lightning.distributions.keyed_sampling import sample_by_index
from ae_lightning.distributions.kl import UnitNormal, factorised_kl, kl
from ae_lightning.distributions.point_mass import PointMass

__all__ = [
    "IndependentBernoulli",
    "IndependentCategorical",
    "IndependentContinuousBernoulli",
    "IndependentLaplace",
    "IndependentNormal",
    "PointMass",
    "UnitNormal",
    "factorised_kl",
    "kl",
    "sample_by_index",
    "single",
]
