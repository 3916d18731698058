"""What torch.distributions lacks: products over whole examples, a point mass, keyed samples, KL."""

from .categorical import IndependentCategorical
from .continuous_bernoulli import IndependentContinuousBernoulli
from .independent import (
    IndependentBernoulli,
    IndependentLaplace,
    IndependentNormal,
    bounded,
    require_event,
    single,
)
from .keyed_sampling import sample_by_index
from .kl import UnitNormal, factorised_kl, kl
from .point_mass import PointMass
