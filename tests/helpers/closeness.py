"""Whether two tensors are equal but for rounding."""

import torch
from torch import Tensor


def close(
    a: Tensor | float, b: Tensor | float, absolute: float = 1e-10, relative: float = 0.0
) -> bool:
    """Whether a and b have one shape, and every |a − b| is within the larger bound."""
    a, b = (torch.as_tensor(value, dtype=torch.float64) for value in (a, b))
    bound = (relative * b.abs()).clamp(min=absolute)
    return a.shape == b.shape and bool(((a - b).abs() <= bound).all())
