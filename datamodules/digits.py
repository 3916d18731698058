"""scikit-learn's handwritten digits: real images, without a download."""

import gzip
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
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
        images, labels = stored()
        # Each value counts the black pixels of a 4 × 4 square, 0 to 16.
        x = torch.from_numpy(np.rint(images * (255 / 16)).astype(np.uint8)).view(-1, *self.shape)
        y = torch.from_numpy(labels).long()
        parts = {"train": slice(-TEST_SIZE), "test": slice(-TEST_SIZE, None)}
        return {split: InMemory(x[rows], y[rows]) for split, rows in parts.items()}


def stored() -> tuple[np.ndarray, np.ndarray]:
    """Return images (1797, 64) and labels (1797,) from scikit-learn's own file.

    To import scikit-learn takes several times as long as an epoch: it is left to read the file
    only where that lies elsewhere.
    """
    spec = find_spec("sklearn")
    for folder in (spec and spec.submodule_search_locations) or ():
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.is_file():
            with gzip.open(file, "rt") as text:
                table = np.loadtxt(text, delimiter=",", dtype=np.int64)
            return table[:, :-1], table[:, -1]
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return images, labels
