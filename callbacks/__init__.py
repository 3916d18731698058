"""Pictures of autoencoders, during training and on their own.

Each is a function of a model and of tensors on its device, and a callback that draws it in `fit`.
"""

from .activation_histogram import ActivationHistogram, activation_histogram
from .codes import Codes, codes
from .contraction_curve import ContractionCurve, contraction_curve
from .curves import Curves, curves
from .drawing.observing import observing
from .filters import Filters, filters
from .interpolation import Interpolation, interpolation
from .jacobian_spectrum import JacobianSpectrum, jacobian_spectrum
from .kl_per_dimension import KLPerDimension, kl_bars, kl_per_dimension
from .l0_error import L0Error, l0_error
from .latent_manifold import LatentManifold, latent_manifold
from .latent_traversal import LatentTraversal, latent_traversal
from .picture import PictureCallback, picture
from .prior_samples import PriorSamples, prior_samples
from .reconstructions import Reconstructions, reconstructions
from .report.choosing import all_suitable
from .report.run_page import write_report
from .report.run_report import Report
from .score_field import ScoreField, score_field
from .tangent_directions import TangentDirections, tangent_directions
