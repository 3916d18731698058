"""MNIST and Fashion-MNIST: 70,000 grey images of 28 × 28 pixels each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, final

from ae_lightning.core.errors import UsageError
from ae_lightning.corruptions import Clean

from .binarise import Binarise
from .loading.batches import Arrays
from .loading.downloaded import Downloaded, check_idx, labels

if TYPE_CHECKING:
    from torchvision.datasets import VisionDataset

SETS: Final = ("train", "t10k")
SIDE: Final = 28


class IDXImages(Downloaded):
    """Images of 28 × 28 pixels in the four IDX files of MNIST and what took its place."""

    @property
    def shape(self) -> tuple[int, ...]:
        return (1, SIDE, SIDE)

    @property
    def files(self) -> list[Path]:
        folder = self.root / type(self).__name__ / "raw"
        kinds = ("images-idx3-ubyte", "labels-idx1-ubyte")
        return [folder / f"{name}-{kind}" for name in SETS for kind in kinds]

    def check(self) -> None:
        for images, marks in zip(self.files[::2], self.files[1::2], strict=True):
            n, n_labels = check_idx(images, (SIDE, SIDE)), check_idx(marks, ())
            if n != n_labels:
                raise UsageError(f"{images} has {n} images, and {marks} {n_labels} labels.")

    def arrays(self, dataset: Any) -> Arrays:
        return Arrays(dataset.data.unsqueeze(1), labels(dataset.targets))


@final
class MNIST(IDXImages):
    """Handwritten digits (LeCun et al., 1998): 60,000 for training, 10,000 for testing.

    Args:
        binarise: makes the clean images black and white: `Threshold` or `Dynamic`; grey, if None.
        common: the arguments of `Downloaded` and `PairDataModule`: root, download, batch_size,
            corruption, val_size, seed, split_seed.

    >>> MNIST().shape
    (1, 28, 28)
    """

    def __init__(self, binarise: Binarise | None = None, **common: Any) -> None:
        super().__init__(**common)
        self.preparation = Clean() if binarise is None else binarise

    def dataset(self, train: bool = False, download: bool = False) -> VisionDataset:
        from torchvision import datasets

        return datasets.MNIST(self.root, train=train, download=download)


@final
class FashionMNIST(IDXImages):
    """Articles of clothing (Xiao, Rasul and Vollgraf, 2017), in MNIST's format.

    Args:
        common: the arguments of `Downloaded` and `PairDataModule`: root, download, batch_size,
            corruption, val_size, seed, split_seed.
    """

    def dataset(self, train: bool = False, download: bool = False) -> VisionDataset:
        from torchvision import datasets

        return datasets.FashionMNIST(self.root, train=train, download=download)
