"""CIFAR-10: 60,000 colour photographs of 32 × 32 pixels."""

from pathlib import Path
from typing import Any, final

import torch

from ae_lightning.core.errors import UsageError

from .loading.datasets import InMemory
from .loading.downloaded import Downloaded


@final
class CIFAR10(Downloaded):
    """Photographs of ten classes (Krizhevsky, 2009): 50,000 for training, 10,000 for testing.

    Args:
        common: the arguments of `Downloaded` and `PairDataModule`.

    >>> CIFAR10().shape
    (3, 32, 32)
    """

    shape = (3, 32, 32)

    @property
    def files(self) -> list[Path]:
        folder = self.root / "cifar-10-batches-py"
        return [folder / name for name in self._checksums()]

    def _checksums(self) -> dict[str, str]:
        from torchvision.datasets import CIFAR10 as Dataset

        meta = (Dataset.meta["filename"], Dataset.meta["md5"])
        return dict([*Dataset.train_list, *Dataset.test_list, meta])

    def check(self) -> None:
        from torchvision.datasets.utils import check_md5

        for file, checksum in zip(self.files, self._checksums().values(), strict=True):
            if not check_md5(file, checksum):
                raise UsageError(
                    f"{file} is damaged: its checksum is not CIFAR-10's; delete {file.parent}, "
                    "and the set is fetched again."
                )

    def in_memory(self, dataset: Any) -> InMemory:
        x = torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous()
        return InMemory(x, torch.tensor(dataset.targets))
