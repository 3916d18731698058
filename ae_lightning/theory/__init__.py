"""Each claim of the notes on autoencoders, as an experiment that can fail."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from ae_lightning.errors import UsageError, nearest

if TYPE_CHECKING:
    from ae_lightning.theory.base import Claim

# In the order of the notes: the name on the command line, which is the file's, and the class.
CLAIMS: Final = {
    "pca": "LinearIsPCA",
    "images": "PCAOfImages",
    "sparsity": "SparsityIsLaplace",
    "point": "PointEstimate",
    "denoising": "DenoisingObjective",
    "denoiser": "BestDenoiser",
    "score": "DenoisingLearnsTheScore",
    "smoothing": "SmoothingBias",
    "matching": "DenoisingIsScoreMatching",
    "noise": "SmallNoise",
    "contractive": "ContractivePenalty",
    "tangents": "ContractiveFindsTangents",
    "surfaces": "DecodersFindTangents",
    "local": "ContractionIsLocal",
    "features": "PenaltiesShapeFeatures",
    "likelihood": "LikelihoodIsLoss",
    "bound": "VariationalBound",
    "ppca": "LinearVAEIsPPCA",
    "collapse": "Collapse",
    "gradients": "ReparameterisedGradients",
    "chains": "SamplingChains",
}


def claim(name: str) -> Claim:
    """Return the claim of that name.

    Raises:
        UsageError: where there is none.
    """
    if name not in CLAIMS:
        raise UsageError(f"there is no claim {name!r}: {nearest(name, list(CLAIMS))}")
    module = import_module(f"{__name__}.{name}")
    return getattr(module, CLAIMS[name])()  # type: ignore[no-any-return]
