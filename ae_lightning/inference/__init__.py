"""What is done with a trained model: one function for each command, on one's own files."""

from typing import TYPE_CHECKING

from ae_lightning.core.lazy_names import lazily

if TYPE_CHECKING:
    from ae_lightning.inference.codes import encode
    from ae_lightning.inference.comparison import compare
    from ae_lightning.inference.detection import Detection, detect
    from ae_lightning.inference.evaluation import evaluate
    from ae_lightning.inference.exports import export
    from ae_lightning.inference.hub import pull, push
    from ae_lightning.inference.reconstructions import denoise, reconstruct
    from ae_lightning.inference.sampling import sample
    from ae_lightning.inference.trained import TrainedModel, load
    from ae_lightning.inference.walks import interpolate, traverse

# A service that only loads a model waits for neither Lightning nor data.
HOMES = {
    "codes": ["encode"],
    "exports": ["export"],
    "hub": ["pull", "push"],
    "detection": ["Detection", "detect"],
    "comparison": ["compare"],
    "evaluation": ["evaluate"],
    "reconstructions": ["denoise", "reconstruct"],
    "sampling": ["sample"],
    "trained": ["TrainedModel", "load"],
    "walks": ["interpolate", "traverse"],
}
__getattr__, __dir__ = lazily(__name__, HOMES)
