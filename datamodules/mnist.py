"""MNIST and Fashion-MNIST: 70,000 grey images of 28 × 28 pixels each."""

from pathlib import Path
from typing import Any, final

from ae_lightning.core.errors import UsageError

from .binarise import Binarise
from .loading.datasets import InMemory
from .loading.downloaded import Downloaded, check_idx


class IDXImages(Downloaded):
    """Images of 28 × 28 pixels in four IDX files, as of MNIST and its successors."""

    shape = (1, 28, 28)

    @property
    def files(self) -> list[Path]:
        folder = self.root / type(self).__name__ / "raw"
        kinds = ("images-idx3-ubyte", "labels-idx1-ubyte")
        return [folder / f"{name}-{kind}" for name in ("train", "t10k") for kind in kinds]

    def check(self) -> None:
        for images, marks in zip(self.files[::2], self.files[1::2], strict=True):
            n, n_labels = check_idx(images, (28, 28)), check_idx(marks, ())
            if n != n_labels:
                raise UsageError(f"{images} has {n} images, and {marks} {n_labels} labels.")

    def in_memory(self, dataset: Any) -> InMemory:
        return InMemory(dataset.data.unsqueeze(1), dataset.targets)


@final
class MNIST(IDXImages):
    """Handwritten digits (LeCun et al., 1998): 60,000 for training, 10,000 for testing.

    Args:
        binarise: makes the clean images black and white: `Threshold` or `Dynamic`; if None, they
            stay grey.
        common: the arguments of `Downloaded` and `PairDataModule`.

    >>> MNIST().shape
    (1, 28, 28)
    """

    def __init__(self, binarise: Binarise | None = None, **common: Any) -> None:
        super().__init__(**common)
        if binarise is not None:
            if common.get("dequantise"):
                raise UsageError("dequantise is true, and binarised images are no bytes: drop one.")
            self.preparation = binarise


@final
class FashionMNIST(IDXImages):
    """Articles of clothing (Xiao, Rasul and Vollgraf, 2017), in MNIST's format.

    Args:
        common: the arguments of `Downloaded` and `PairDataModule`.
    """
