"""Pictures of autoencoders, during training and on their own."""

from .base import PictureCallback, observing, picture
from .codes import Codes, codes
from .curves import Curves, curves
from .filters import Filters, filters
from .interpolation import Interpolation, interpolation
from .kl_per_dimension import KLPerDimension, kl_bars, kl_per_dimension
from .latent_manifold import LatentManifold, latent_manifold
from .latent_traversal import LatentTraversal, latent_traversal
from .prior_samples import PriorSamples, prior_samples
from .reconstructions import Reconstructions, reconstructions
from .report import Report, all_suitable, write_report
from .sparsity import ActivationHistogram, L0Error, activation_histogram, l0_error

__all__ = [
    "ActivationHistogram",
    "Codes",
    "Curves",
    "Filters",
    "Interpolation",
    "KLPerDimension",
    "L0Error",
    "LatentManifold",
    "LatentTraversal",
    "PictureCallback",
    "PriorSamples",
    "Reconstructions",
    "Report",
    "activation_histogram",
    "all_suitable",
    "codes",
    "curves",
    "filters",
    "interpolation",
    "kl_bars",
    "kl_per_dimension",
    "l0_error",
    "latent_manifold",
    "latent_traversal",
    "observing",
    "picture",
    "prior_samples",
    "reconstructions",
    "write_report",
]
