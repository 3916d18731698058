"""Whether weights, or callbacks' states, have changed: told by fingerprints, not by copies."""

from collections.abc import Mapping
from typing import Any, Final

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn

from ae_lightning.training.sharding import local

BITS: Final = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def fingerprint(value: Any) -> Any:
    """Return what is equal for equal values, and all but certainly not for others.

    >>> x = torch.ones(3)
    >>> fingerprint({"x": x}) == fingerprint({"x": x.clone()}), fingerprint(x) == fingerprint(-x)
    (True, False)
    """
    sums: list[Tensor] = []
    shape = _shape(value, sums)
    # All at once, since each transfer from a GPU waits for it.
    return shape, torch.stack([s.to(sums[0].device) for s in sums]).tolist() if sums else []


def _shape(value: Any, sums: list[Tensor]) -> Any:
    """Return all of a value but its tensors' elements, the sums of whose bits go to `sums`."""
    if isinstance(value, Tensor):
        bits = local(value.detach())
        if bits.is_complex():
            bits = torch.view_as_real(bits)
        sums.append(bits.view(BITS[bits.element_size()]).sum())
        return tuple(bits.shape)
    if isinstance(value, Mapping):
        return {key: _shape(inner, sums) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shape(inner, sums) for inner in value]
    return repr(value)


def of_weights(model: nn.Module) -> Any:
    """Return the fingerprint of this process's parameters, and of the buffers that are saved."""
    return fingerprint(model.state_dict())


def of_callbacks(trainer: Trainer) -> Any:
    """Return the fingerprint of what callbacks would save."""
    states = [callback.state_dict() for callback in trainer.callbacks]  # type: ignore[attr-defined]
    return fingerprint(states)
