"""Values as a user gives them and takes them, beside tensors as a model does."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ae_lightning.core.errors import UsageError

Array = NDArray[Any]


def tensor_of(values: Any, name: str) -> Tensor:
    """Values as a tensor: of an array or a list, of any layout and byte order.

    Args:
        name: what they are called, for the sentence.

    Raises:
        UsageError: if they are no array of real numbers.

    >>> import numpy as np
    >>> tensor_of(np.arange(3.0)[::-1], "x")
    tensor([2., 1., 0.], dtype=torch.float64)
    """
    x = values.detach() if isinstance(values, Tensor) else from_array(values, name)
    if x.is_complex():
        kind = str(x.dtype).removeprefix("torch.")
        raise UsageError(f"{name} holds {kind}: expected real numbers.")
    return x


def from_array(values: Any, name: str) -> Tensor:
    """Values as a tensor, which may share their memory; the arguments are those of `tensor_of`."""
    try:
        array = np.require(np.asarray(values), None, ["C", "W"])  # or else a copy that is
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} is no array of numbers: {str(error).rstrip('.')}.") from None
    if array.dtype.kind not in "buifc" or array.dtype in (np.longdouble, np.clongdouble):
        raise UsageError(f"{name} is no array of numbers, but of {array.dtype.name}.")
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))


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
