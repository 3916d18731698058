"""The claims of the notes on autoencoders, each as an experiment that can fail."""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from ae_lightning.core.errors import UsageError, nearest

if TYPE_CHECKING:
    from ae_lightning.theory.proof import Claim

# In the order of the notes: the name on the command line, the file in claims/, and the class.
CLAIMS: Final = {
    "pca": ("linear_is_pca", "LinearIsPCA"),
    "images": ("pca_of_images", "PCAOfImages"),
    "sparsity": ("sparsity_is_laplace", "SparsityIsLaplace"),
    "point": ("point_estimate", "PointEstimate"),
    "denoising": ("denoising_objective", "DenoisingObjective"),
    "denoiser": ("best_denoiser", "BestDenoiser"),
    "score": ("denoising_learns_the_score", "DenoisingLearnsTheScore"),
    "smoothing": ("smoothing_bias", "SmoothingBias"),
    "matching": ("denoising_is_score_matching", "DenoisingIsScoreMatching"),
    "noise": ("small_noise", "SmallNoise"),
    "contractive": ("contractive_penalty", "ContractivePenalty"),
    "tangents": ("contractive_finds_tangents", "ContractiveFindsTangents"),
    "surfaces": ("decoders_find_tangents", "DecodersFindTangents"),
    "local": ("contraction_is_local", "ContractionIsLocal"),
    "features": ("penalties_shape_features", "PenaltiesShapeFeatures"),
    "likelihood": ("likelihood_is_loss", "LikelihoodIsLoss"),
    "bound": ("variational_bound", "VariationalBound"),
    "ppca": ("linear_vae_is_ppca", "LinearVAEIsPPCA"),
    "collapse": ("posterior_collapse", "PosteriorCollapse"),
    "gradients": ("reparameterised_gradients", "ReparameterisedGradients"),
    "chains": ("sampling_chains", "SamplingChains"),
}


def claim(name: str) -> "Claim":
    """Return the claim of that name.

    Raises:
        UsageError: if there is none.
    """
    if name not in CLAIMS:
        raise UsageError(f"there is no claim {name!r}: {nearest(name, list(CLAIMS))}")
    module, kind = CLAIMS[name]
    return getattr(import_module(f"{__name__}.claims.{module}"), kind)(name)  # type: ignore[no-any-return]
