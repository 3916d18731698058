"""Encode: the code of every example, and its spread."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ae_lightning.core.showing import shown
from ae_lightning.inference.inputs import Inputs, opened
from ae_lightning.inference.reading import Reading
from ae_lightning.inference.trained import TrainedModel
from ae_lightning.posteriors import Posterior

if TYPE_CHECKING:
    from pandas import DataFrame


@shown
class Codes(NamedTuple):
    """The codes of some examples.

    Args:
        path: their names.
        label: the class of each, by name or number; None where there are no labels.
        code: f(x), the means of q(z|x) (B, K).
        spread: the standard deviations of q(z|x) (B, K); None if it is a point.
    """

    path: list[str]
    label: list[str | int | None]
    code: NDArray[np.float32]
    spread: NDArray[np.float32] | None

    def frame(self) -> "DataFrame":
        """As a table with a row for each example: path, label, code_0, …, spread_0, …"""
        from pandas import DataFrame, concat

        parts = [DataFrame({"path": self.path, "label": self.label})]
        for name, values in (("code", self.code), ("spread", self.spread)):
            if values is not None:
                parts.append(
                    DataFrame(values, columns=[f"{name}_{k}" for k in range(values.shape[1])])
                )
        return concat(parts, axis=1)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As arrays by name: path, code, and label and spread if there are any."""
        found = {"path": np.array(self.path), "code": self.code, "label": np.array(self.label)}
        if self.label[0] is None:
            del found["label"]
        return found if self.spread is None else found | {"spread": self.spread}


def encode(
    model: str | Path | TrainedModel,
    *data: str,
    split: str | None = None,
    limit: int | None = None,
    batch_size: int = 256,
    device: str = "auto",
    corrupt: bool = False,
    reading: Reading | None = None,
) -> "DataFrame":
    """Return the codes of data as a table with a row for each example.

    Args:
        model: a run, a checkpoint or a loaded model.
        data: a folder, image files, an array file or a shipped data set; that of training if none.
        split: train, val or test; all, if None.
        limit: how many examples to take at most.
        batch_size: how many to encode at a time.
        device: auto, cpu, cuda, ….
        corrupt: whether to corrupt them as in training.
        reading: how image files are read, if not as in training: see `Reading`.

    Raises:
        UsageError: if there is no such model or no such data, or they do not fit.
    """
    trained, inputs = opened(model, data, split, limit, device, reading)
    return together(list(each_code(trained, inputs, batch_size, corrupt))).frame()


@torch.no_grad()
def each_code(
    trained: TrainedModel, inputs: Inputs, batch_size: int = 256, corrupt: bool = False
) -> Iterator[Codes]:
    """Encode batch by batch."""
    model = trained.model
    for batch in inputs.batches(batch_size, trained.device, "Encoding", corrupt):
        features = model.encoder(batch.pair.x_tilde)
        code, spread = code_and_spread(model.posterior, features)
        spreads = None if spread is None else array(spread)
        yield Codes(batch.names, batch.labels, array(code), spreads)


def code_and_spread(
    posterior: Posterior, features: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The codes (B, K) that features stand for and, of a stochastic q, its spread; q made once."""
    if not posterior.stochastic:
        return posterior.code(features), None
    q = posterior(features)
    its_mean = type(posterior).code is Posterior.code  # or what the posterior defines itself
    return q.mean if its_mean else posterior.code(features), q.stddev


def together(parts: list[Codes]) -> Codes:
    """Several batches as one."""
    path = [name for part in parts for name in part.path]
    label = [each for part in parts for each in part.label]
    spreads = [part.spread for part in parts if part.spread is not None]
    code = np.concatenate([part.code for part in parts])
    return Codes(path, label, code, np.concatenate(spreads) if spreads else None)


def array(values: torch.Tensor) -> NDArray[Any]:
    """A tensor's values as floats of 32 bits."""
    found: NDArray[Any] = values.float().cpu().numpy()
    return found
