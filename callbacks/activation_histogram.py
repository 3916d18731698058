"""How the activations of a sparse code are distributed, and how often each unit is active."""

from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from ae_lightning.core.types import Pair
from ae_lightning.metrics import ACTIVE_CODE
from ae_lightning.model import Model
from ae_lightning.nn import Rectifier, Sigmoid, TopK
from ae_lightning.regularizers.sparsity import L1, SparsityKL, StudentT

from .drawing.theme import Figure, Room, drawable, log_scale, new_figure
from .picture import PictureCallback, picture


@picture
def activation_histogram(model: Model, x: Tensor) -> Figure:
    """Draw how the activations of the sparse codes of x (B, *S) are distributed.

    Beside them, draw how often each unit is active, beyond ±0.001; for a Sigmoid code, the mean
    activation of each unit instead.
    """
    code = drawable(model.code(x), "the code")  # (B, K)
    active = code.abs() > ACTIVE_CODE
    figure = new_figure(6.6, 3.0, room=Room())
    left, right = figure.subplots(1, 2, gridspec_kw={"wspace": 0.3})
    saturating = isinstance(model.posterior.activation, Sigmoid)
    numbers, edges = np.histogram((code if saturating else code[active]).numpy().ravel(), bins=60)
    left.stairs(numbers, edges, fill=True)
    what = "activation" if saturating else "activation of an active unit"
    left.set(yscale="log", xlabel=what, ylabel="number (log scale)")
    log_scale(left.yaxis, max(1, numbers[numbers > 0].min(initial=1)), max(1, numbers.max()))
    share = 1 - float(active.float().mean())
    zeros = f"{share:.1%} of all activations are 0"
    left.set_title(f"activations are {float(code.mean()):.2f} on average" if saturating else zeros)
    use = (code if saturating else active.float()).mean(0)  # (K,)
    right.stairs(*np.histogram(use.numpy(), bins_of(use, len(code))), fill=True)
    what = "mean activation of a unit" if saturating else "share of examples a unit is active on"
    right.set(xlabel=what, ylabel="number of units", ylim=(0, None))
    right.locator_params(axis="y", integer=True)
    right.set_title(f"{int((~active.any(0)).sum())} of {code.shape[1]} units never active")
    return figure


def bins_of(use: Tensor, examples: int) -> np.ndarray:
    """The edges of some forty bins, each of as many shares k/n of n examples as the others.

    >>> bins_of(Tensor([0.0, 0.02, 0.05]), 100) * 100
    array([-0.5,  0.5,  1.5,  2.5,  3.5,  4.5,  5.5])
    """
    most = examples if float(use.max()) > 0.5 else max(1, round(float(use.max()) * examples))
    wide = -(-(most + 1) // 40)  # shares in a bin
    return (np.arange(0, most + wide + 1, wide) - 0.5) / examples


def not_sparse(model: Model) -> str | None:
    """Why this model's code is not sparse, or None if it is."""
    made = isinstance(model.posterior.activation, Rectifier | TopK | Sigmoid)
    held = any(isinstance(r, L1 | StudentT | SparsityKL) for r in model.regularizers.values())
    if made or held:
        return None
    return "this code is not sparse: it has no Rectifier, TopK or Sigmoid, and no sparsity penalty."


class ActivationHistogram(PictureCallback):
    """Draw `activation_histogram` of validation examples."""

    name: ClassVar[str] = "activation_histogram"
    caption: ClassVar[str] = (
        "A sparse code is mostly 0, with a long tail. On the right, units that are active on every "
        "example say little, and units that never are (dead ones) say nothing."
    )
    examples: ClassVar[int] = 1000

    def suits(self, model: Model, data: Any) -> str | None:
        return not_sparse(model)

    def draw(self, model: Model, pair: Pair) -> Figure:
        return activation_histogram(model, pair.x)
