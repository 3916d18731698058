"""Values as a user gives them and takes them, beside tensors as a model does."""

from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from ae_lightning.core.errors import UsageError

Array = NDArray[Any]


def batched(x: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, bool]:
    """Bring one example or several to (B, *S), and say whether it was one.

    Raises:
        UsageError: if they are of another shape.

    >>> import torch
    >>> batched(torch.zeros(28, 28), (1, 28, 28))[0].shape
    torch.Size([1, 1, 28, 28])
    """
    forms = [shape]
    if len(shape) == 3:
        forms += [(*shape[1:], shape[0])] + [shape[1:]] * (shape[0] == 1)
    for form in forms:
        for one in (True, False):
            if tuple(x.shape[0 if one else 1 :]) != form:
                continue
            x = x[None] if one else x
            if form == shape:
                return x, one
            return (x.unsqueeze(1) if form == shape[1:] else x.movedim(-1, 1)), one
    raise UsageError(
        f"x is of shape {tuple(x.shape)}: the model takes {shape}, or several as (B, "
        f"{', '.join(map(str, shape))})."
    )


def given_back(found: Tensor, one: bool) -> Array:
    """As an array, and the only example if it was one."""
    array: Array = found.float().cpu().numpy()
    return array[0] if one else array
