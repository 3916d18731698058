"""Autoencoders as one objective: Lightning modules, regularizers, corrupted pairs and pictures.

The public names load on first use, so that the command line's front starts without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ae_lightning.autoencoder import AutoEncoder
    from ae_lightning.core.errors import NonFiniteError, SavingError, TrainingError, UsageError
    from ae_lightning.core.parts import Part
    from ae_lightning.core.trust import trust
    from ae_lightning.core.types import ForwardPass, Pair
    from ae_lightning.inference.trained import TrainedModel, load
    from ae_lightning.regularizers import Regularizer
    from ae_lightning.schedules import Schedule
    from ae_lightning.systems import (
        ContractiveAutoEncoder,
        DenoisingAutoEncoder,
        ImportanceWeightedAutoEncoder,
        LinearAutoEncoder,
        SparseAutoEncoder,
        StochasticAutoEncoder,
        UndercompleteAutoEncoder,
        VariationalAutoEncoder,
    )

HOMES = {
    "autoencoder": ["AutoEncoder"],
    "core.errors": ["NonFiniteError", "SavingError", "TrainingError", "UsageError"],
    "core.parts": ["Part"],
    "core.trust": ["trust"],
    "core.types": ["ForwardPass", "Pair"],
    "inference.trained": ["TrainedModel", "load"],
    "regularizers": ["Regularizer"],
    "schedules": ["Schedule"],
    "systems": [
        *("ContractiveAutoEncoder", "DenoisingAutoEncoder", "ImportanceWeightedAutoEncoder"),
        *("LinearAutoEncoder", "SparseAutoEncoder", "StochasticAutoEncoder"),
        *("UndercompleteAutoEncoder", "VariationalAutoEncoder"),
    ],
}
HOME_OF = {name: module for module, names in HOMES.items() for name in names}
__all__ = sorted(HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in HOME_OF:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *HOME_OF])
