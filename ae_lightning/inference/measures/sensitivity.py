"""How much codes and reconstructions change with the input."""

import torch

from ae_lightning.core.printing import counted
from ae_lightning.geometry import squared_jacobian, squared_reconstruction_jacobian
from ae_lightning.inference.inputs import Inputs
from ae_lightning.inference.measures.figures import (
    STANDARD,
    Averages,
    Figure,
    Settings,
    first,
    pairs,
)
from ae_lightning.inference.trained import TrainedModel

AT_ONCE = 32  # examples: a Jacobian holds K numbers for each of their elements


@torch.no_grad()
def sensitivity(
    trained: TrainedModel, inputs: Inputs, settings: Settings = STANDARD
) -> list[Figure]:
    r"""Measure ‖∂f/∂x‖²_F of the code and ‖∂r/∂x‖²_F of the reconstruction, exactly.

    They are means over the first examples, since a Jacobian costs as much as many passes.
    """
    found, some = Averages(), first(inputs, settings.subset)
    for pair in pairs(trained, some, AT_ONCE, "Jacobians"):
        found.add(
            jacobian=squared_jacobian(trained.model, pair.x),
            reconstruction_jacobian=squared_reconstruction_jacobian(trained.model, pair.x),
        )
    note = f"squared norm, the first {counted(len(some), 'example')}"
    return [found.figure(name, note=note) for name in found.moments]
