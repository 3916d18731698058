"""How well single elements of the code stand for single known factors: measured on the data."""

from typing import Any

import numpy as np
import torch

from ae_lightning.core.printing import counted
from ae_lightning.inference.codes import array
from ae_lightning.inference.inputs import Inputs
from ae_lightning.inference.measures.factor_scores import SCORES
from ae_lightning.inference.measures.figures import STANDARD, Figure, NotDefined, Settings, pairs
from ae_lightning.inference.trained import TrainedModel

MOST = 10_000  # examples


@torch.no_grad()
def disentanglement(
    trained: TrainedModel, inputs: Inputs, settings: Settings = STANDARD
) -> list[Figure]:
    """Measure MIG, DCI, SAP, the FactorVAE score and modularity, where the factors are known.

    Each is in [0, 1], and defined in `factor_scores`. The data give their factors by a method
    `factors(split, places)`, as Sprites does.
    """
    data: Any = inputs.data
    if not hasattr(data, "factors"):
        raise NotDefined(
            f"{type(data).__name__} knows no factors of its examples, as Sprites does."
        )
    some = Inputs(data, inputs.groups, min(MOST, len(inputs)))
    codes = [
        array(trained.model.code(pair.x)) for pair in pairs(trained, some, settings.batch_size)
    ]
    z, left, known = np.concatenate(codes), len(some), []
    for group in inputs.groups:
        n = min(left, len(group.examples))
        known.append(data.factors(group.split, range(n)).numpy())
        left -= n
    v = np.concatenate(known)
    note = f"{counted(len(z), 'example')}, seed {settings.seed}"
    return [
        Figure(name, value, note=note)
        for score in SCORES
        for name, value in score(z, v, settings.seed).items()
    ]
