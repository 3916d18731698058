"""Sparse codes: how they are distributed, and what the active units buy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.metrics import ACTIVE_CODE
from ae_lightning.nn import Rectifier, Sigmoid, TopK
from ae_lightning.regularizers.sparsity import L1, SparsityKL, StudentT

from .drawing.theme import COLOURS, FAINT, Room, finite, new_figure
from .picture import PictureCallback, picture
from .spectrum import log_scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def not_sparse(model: Any) -> str | None:
    """Why this model's code is not one that is sparse, or None."""
    made = isinstance(model.posterior.activation, Rectifier | TopK | Sigmoid)
    held = any(isinstance(r, L1 | StudentT | SparsityKL) for r in model.regularizers.values())
    if made or held:
        return None
    return "this code is not sparse: it has no Rectifier, TopK or Sigmoid, and no sparsity penalty."


def without_zeros(model: Any) -> str | None:
    """Why L0 says nothing of this model, or None."""
    if isinstance(model.posterior.activation, Sigmoid):
        return "l0_error counts the units that are not 0, and a Sigmoid code has none that is."
    return not_sparse(model)


@picture
def activation_histogram(model: Any, x: Tensor) -> Figure:
    """Draw how the activations of a sparse code are distributed, and how often each unit is used.

    A unit counts as active beyond ±0.001; of a Sigmoid code, the units' mean activations are drawn.

    Args:
        model: an AutoEncoder with a sparse code.
        x: the examples (B, *S), on the model's device.
    """
    code = finite(model.code(x), "the code")  # (B, K)
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
    span = (0, 1) if float(use.max()) > 0.5 else None
    right.stairs(*np.histogram(use.numpy(), bins=40, range=span), fill=True)
    what = "mean activation of a unit" if saturating else "share of examples a unit is active on"
    right.set(xlabel=what, ylabel="number of units", ylim=(0, None))
    right.locator_params(axis="y", integer=True)
    right.set_title(f"{int((~active.any(0)).sum())} of {code.shape[1]} units never active")
    return figure


def kept_error(model: Any, x: Tensor, code: Tensor, kept: Tensor) -> Tensor:
    """Mean squared error (B, n) where only the `kept[i]` largest activations are decoded.

    Args:
        x: what should come out (B, *S).
        code: the codes (B, K).
        kept: how many activations to keep (n,).
    """
    rank = code.abs().argsort(dim=1, descending=True, stable=True).argsort(dim=1)  # (B, K)
    errors = []
    for number in kept.tolist():
        r = model.decode(code * (rank < number)).mean
        errors.append((r - x).square().flatten(1).mean(1))
    return torch.stack(errors, dim=1)


@picture
def l0_error(model: Any, pair: Pair) -> Figure:
    """Draw every example's error against its number of active units, and what fewer would cost.

    The line is the mean error where only the n largest activations of each code are decoded.

    Args:
        model: an AutoEncoder with a sparse code.
        pair: the examples, x and x̃ (B, *S) on the model's device.
    """
    if (reason := without_zeros(model)) is not None:
        raise UsageError(reason)
    code = model.code(pair.x_tilde)
    l0 = (code.abs() > ACTIVE_CODE).sum(1).cpu()
    K = code.shape[1]
    most = max(1, int(l0.max()))
    kept = torch.linspace(0, most, min(most, 24) + 1).round().long().unique()
    error = finite(kept_error(model, pair.x, code, torch.tensor([K])), "the error")[:, 0]
    curve = finite(kept_error(model, pair.x, code, kept), "the error").mean(0)
    figure = new_figure(5.4, 3.6, room=Room())
    axes = figure.subplots()
    axes.scatter(
        l0.numpy(), error.numpy(), s=8, color=COLOURS[0], alpha=0.5, linewidths=0, label="examples"
    )
    axes.plot(
        kept.numpy(), curve.numpy(), color=COLOURS[1], label="mean error of the n largest alone"
    )
    axes.axvline(float(l0.float().mean()), color=FAINT, linestyle=":", label="mean L0")
    axes.set(
        xlabel=f"L0: active units of {K} (line: n units kept)",
        ylabel="mean squared error a value",
        ylim=(0, None),
    )
    axes.set_title(f"L0 against error: on average {l0.float().mean():.1f} active units")
    axes.legend(frameon=True, framealpha=0.9, edgecolor="none")
    return figure


class ActivationHistogram(PictureCallback):
    """Draw `activation_histogram` of validation examples."""

    name: ClassVar[str] = "activation_histogram"
    caption: ClassVar[str] = (
        "A sparse code is mostly 0, with a long tail. On the right, units that are active on every "
        "example say little, and units that never are (dead ones) nothing."
    )

    def __init__(self, every_n_epochs: int = 0, items: int = 1000, **common: Any) -> None:
        super().__init__(every_n_epochs, items, **common)

    def suits(self, model: Any, data: Any) -> str | None:
        return not_sparse(model)

    def draw(self, model: Any, pair: Pair) -> Figure:
        return activation_histogram(model, pair.x)


class L0Error(PictureCallback):
    """Draw `l0_error` of validation examples."""

    name: ClassVar[str] = "l0_error"
    caption: ClassVar[str] = (
        "Each point is an example: how many units its code uses, and how well it is reconstructed. "
        "The line keeps only the largest activations: where it is flat, the smaller ones bought "
        "little."
    )

    def __init__(self, every_n_epochs: int = 0, items: int = 500, **common: Any) -> None:
        super().__init__(every_n_epochs, items, **common)

    def suits(self, model: Any, data: Any) -> str | None:
        return without_zeros(model)

    def draw(self, model: Any, pair: Pair) -> Figure:
        return l0_error(model, pair)
