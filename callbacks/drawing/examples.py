"""The examples that a picture is drawn of, the same at every step."""

from typing import Any

import torch

from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair


def choose(data: Any, items: int, seed: int = 0) -> Pair:
    """Choose validation pairs by seed, the same at every call; of a bare loader, the first ones.

    Raises:
        UsageError: if the data has no validation pairs.
    """
    if hasattr(data, "pairs"):
        data.setup()
        order = torch.randperm(len(data.sets["val"]), generator=torch.Generator().manual_seed(seed))
        return data.pairs("val", order[:items].tolist())  # type: ignore[no-any-return]
    found: list[Pair] = []
    for batch in () if data is None else data:
        found.append(batch)
        if sum(len(pair.x) for pair in found) >= items:
            break
    if not found or not isinstance(found[0], Pair):
        raise UsageError("a picture needs validation pairs: give a PairDataModule, or Pairs.")
    return Pair(*(torch.cat(tensors)[:items].cpu() for tensors in zip(*found, strict=True)))
