"""Autoencoders as one objective: Lightning modules, regularizers, corrupted pairs and pictures.

The public names load on first use, so that the command line's front starts without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ae_lightning.autoencoder import AutoEncoder
    from ae_lightning.core.errors import NonFiniteError, SavingError, TrainingError, UsageError
    from ae_lightning.core.parts import Part
    from ae_lightning.core.types import ForwardPass, Pair
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

__all__ = [
    "AutoEncoder",
    "ContractiveAutoEncoder",
    "DenoisingAutoEncoder",
    "ForwardPass",
    "ImportanceWeightedAutoEncoder",
    "LinearAutoEncoder",
    "NonFiniteError",
    "Pair",
    "Part",
    "Regularizer",
    "SavingError",
    "Schedule",
    "SparseAutoEncoder",
    "StochasticAutoEncoder",
    "TrainingError",
    "UndercompleteAutoEncoder",
    "UsageError",
    "VariationalAutoEncoder",
]

HOMES = {
    "AutoEncoder": "autoencoder",
    "ForwardPass": "core.types",
    "NonFiniteError": "core.errors",
    "Pair": "core.types",
    "Part": "core.parts",
    "Regularizer": "regularizers",
    "SavingError": "core.errors",
    "Schedule": "schedules",
    "TrainingError": "core.errors",
    "UsageError": "core.errors",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{HOMES.get(name, 'systems')}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
