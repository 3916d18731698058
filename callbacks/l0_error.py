"""What the active units of a sparse code buy: the error against their number."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.metrics import ACTIVE_CODE
from ae_lightning.model import Model
from ae_lightning.nn import Sigmoid

from .activation_histogram import not_sparse
from .drawing.images import is_image
from .drawing.theme import COLOURS, FAINT, Figure, Room, drawable, legend, new_figure
from .picture import PictureCallback, picture


@picture
def l0_error(model: Model, pair: Pair) -> Figure:
    """Draw every example's error against its number of active units, and what fewer would cost.

    The codes are those of x̃, the errors those to x (B, *S). The line is the mean error if only the
    n largest activations of each code are decoded.

    Raises:
        UsageError: if the code is not sparse, or a Sigmoid's, which has no zeros.
    """
    if (reason := without_zeros(model)) is not None:
        raise UsageError(reason)
    code = model.code(pair.x_tilde)
    l0 = (code.abs() > ACTIVE_CODE).sum(1).cpu()
    K = code.shape[1]
    most = max(1, int(l0.max()))
    kept = torch.linspace(0, most, min(most, 24) + 1).round().long().unique()
    error = drawable(kept_error(model, pair.x, code, torch.tensor([K])), "the error")[:, 0]
    curve = drawable(kept_error(model, pair.x, code, kept), "the error").mean(0)
    figure = new_figure(5.4, 3.6, room=Room())
    axes = figure.subplots()
    how = {"s": 8, "color": COLOURS[0], "alpha": 0.5, "linewidths": 0}
    axes.scatter(l0.numpy(), error.numpy(), label="examples", **how)
    axes.plot(kept, curve, color=COLOURS[1], label="mean error of the n largest alone")
    axes.axvline(float(l0.float().mean()), color=FAINT, linestyle=":", label="mean L0")
    axes.set(
        xlabel=f"L0: active units of {K} (line: n units kept)",
        ylabel=f"mean squared error per {'value' if is_image(model.shape) else 'coordinate'}",
        ylim=(0, None),
        title=f"L0 against error: on average {l0.float().mean():.1f} active units",
    )
    legend(axes, frameon=True, framealpha=0.9, edgecolor="none")
    return figure


def kept_error(model: Model, x: Tensor, code: Tensor, kept: Tensor) -> Tensor:
    """Mean squared error (B, n) to x (B, *S) if only the kept[i] largest of a code are decoded.

    The codes are (B, K), the numbers to keep (n,).
    """
    rank = code.abs().argsort(dim=1, descending=True, stable=True).argsort(dim=1)  # (B, K)
    decoded = (model.decode(code * (rank < number)).mean for number in kept.tolist())
    return torch.stack([(r - x).square().flatten(1).mean(1) for r in decoded], dim=1)


def without_zeros(model: Model) -> str | None:
    """Why L0 says nothing about this model, or None if it does."""
    if isinstance(model.posterior.activation, Sigmoid):
        return "l0_error counts the units that are not 0, and no unit of a Sigmoid code is 0."
    return not_sparse(model)


class L0Error(PictureCallback):
    """Draw `l0_error` of validation examples."""

    name: ClassVar[str] = "l0_error"
    caption: ClassVar[str] = (
        "Each point is an example: how many units its code uses, and how well it is reconstructed. "
        "The line keeps only the largest activations; if it is flat at the end, the smaller ones "
        "bought little."
    )
    examples: ClassVar[int] = 500

    def suits(self, model: Model, data: Any) -> str | None:
        return without_zeros(model)

    def draw(self, model: Model, pair: Pair) -> Figure:
        return l0_error(model, pair)
