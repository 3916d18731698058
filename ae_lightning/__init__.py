"""Autoencoders as one objective: Lightning modules, regularizers, corrupted pairs and pictures.

The public names load on first use, so that the command line's front starts without torch.
"""

from typing import TYPE_CHECKING

from ae_lightning.core.chatter import quieten
from ae_lightning.core.lazy_names import lazily

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
__all__ = sorted(name for names in HOMES.values() for name in names)
__getattr__, __dir__ = lazily(__name__, HOMES)

quieten()
