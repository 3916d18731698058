"""What is done with a trained model: one function for each command, on one's own files."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
HOME_OF = {name: module for module, names in HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in HOME_OF:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *HOME_OF])
