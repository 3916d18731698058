"""How few elements of the code are used, and what they explain."""

import torch

from ae_lightning.inference.inputs import Inputs
from ae_lightning.inference.measures.figures import STANDARD, Averages, Figure, Settings, pairs
from ae_lightning.inference.trained import TrainedModel
from ae_lightning.metrics import ACTIVE_CODE, squared_error


@torch.no_grad()
def sparsity(trained: TrainedModel, inputs: Inputs, settings: Settings = STANDARD) -> list[Figure]:
    r"""Measure L0, dead units, and the explained variance 1 − E‖x − r(x)‖²/E‖x − E x‖².

    L0 counts the elements of an example's code that exceed 0.001 in magnitude; a unit is dead if
    its element never does.
    """
    model, found = trained.model, Averages()
    largest = torch.zeros(model.latent, device=trained.device)
    for pair in pairs(trained, inputs, settings.batch_size, "Sparsity"):
        z = model.code(pair.x)
        r = model.decode(z).mean
        found.add(l0=(z.abs() > ACTIVE_CODE).sum(1), error=squared_error(r, pair.x), x=pair.x)
        largest = torch.maximum(largest.to(z), z.abs().amax(0))
    of = f"of {model.latent}"
    figures = [
        found.figure("l0", of),
        Figure("dead_units", float((largest <= ACTIVE_CODE).sum()), of),
    ]
    if variance := float(found.variance("x").sum()):  # one example has none to explain
        figures.append(Figure("explained_variance", 1 - found.mean("error") / variance))
    return figures
