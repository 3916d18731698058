"""scikit-learn's handwritten digits: real images that need no download."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, final

import numpy as np
import torch

from .loading.batches import Arrays, Examples
from .pairs import PairDataModule

TEST_SIZE: Final = 297  # scikit-learn's set has no test set of its own: its last images are it


@final
class Digits(PairDataModule):
    """The 1,797 handwritten digits of 8 × 8 pixels that scikit-learn carries.

    The last 297 are the test set; a tenth of the others is for validation.

    Args:
        common: the arguments of `PairDataModule`: batch_size, corruption, val_size, seed,
            split_seed.

    >>> Digits().pairs("test", [0, 1]).x.shape
    torch.Size([2, 1, 8, 8])
    """

    def __init__(self, **common: Any) -> None:
        super().__init__(**common)

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, 8, 8)

    def read(self) -> Mapping[str, Examples]:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        # The set counts 0 … 16 black pixels of each 4 × 4 square.
        x = torch.from_numpy(np.rint(images * (255 / 16)).astype(np.uint8)).view(-1, *self.shape)
        digits = Arrays(x, torch.from_numpy(labels).long())
        rows = torch.arange(len(x))
        return {"train": digits.select(rows[:-TEST_SIZE]), "test": digits.select(rows[-TEST_SIZE:])}
