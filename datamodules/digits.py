"""scikit-learn's handwritten digits: real images, without a download."""

from collections.abc import Mapping
from typing import Any, Final, final

import numpy as np
import torch

from .loading.datasets import Examples, InMemory
from .pairs import PairDataModule

TEST_SIZE: Final = 297  # scikit-learn gives no test set: take the last images


@final
class Digits(PairDataModule):
    """The 1,797 handwritten digits of 8 × 8 pixels that come with scikit-learn.

    The last 297 are the test set; a tenth of the others is set aside for validation.

    Args:
        common: the arguments of `PairDataModule`.

    >>> Digits().pairs("test", [0, 1]).x.shape
    torch.Size([2, 1, 8, 8])
    """

    shape = (1, 8, 8)

    def __init__(self, **common: Any) -> None:
        super().__init__(**common)

    def read(self) -> Mapping[str, Examples]:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        # Each value counts the black pixels of a 4 × 4 square, 0 to 16.
        x = torch.from_numpy(np.rint(images * (255 / 16)).astype(np.uint8)).view(-1, *self.shape)
        y = torch.from_numpy(labels).long()
        parts = {"train": slice(-TEST_SIZE), "test": slice(-TEST_SIZE, None)}
        return {split: InMemory(x[rows], y[rows]) for split, rows in parts.items()}
