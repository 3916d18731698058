"""What torch.distributions lacks: products over whole examples, a point mass, keyed samples, KL."""

from .categorical import IndependentCategorical as IndependentCategorical
from .continuous_bernoulli import IndependentContinuousBernoulli as IndependentContinuousBernoulli
from .independent import IndependentBernoulli as IndependentBernoulli
from .independent import IndependentLaplace as IndependentLaplace
from .independent import IndependentNormal as IndependentNormal
from .independent import single as single
from .keyed_sampling import sample_by_index as sample_by_index
from .kl import UnitNormal as UnitNormal
from .kl import factorised_kl as factorised_kl
from .kl import kl as kl
from .point_mass import PointMass as PointMass
