"""Any folder of images, held in memory or read by worker processes."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, final

import torch

from ae_lightning.core.errors import UsageError, at_least
from ae_lightning.core.files import path_of

from .loading.datasets import Examples
from .loading.image_files import ImageFiles, files_in, read_image
from .pairs import SPLITS, PairDataModule


@final
class ImageFolder(PairDataModule):
    """The images in a folder, at any depth; its immediate subfolders are the classes.

    A folder that holds the folders `train` and `test`, and perhaps `val`, is already split; any
    other is split by `split_seed`. Hidden files are skipped; every other file must be an image.

    Args:
        path: the folder.
        resize: the side, in pixels, of the square that images are scaled to and cropped from the
            centre; if None, they keep their size, which must be the same for all.
        greyscale: whether to turn the colours into one channel; otherwise there are three.
        in_memory: whether to read all images at the start; otherwise workers read each batch.
        num_workers: how many processes read; 0 for none besides the one that trains.
        common: the arguments of `PairDataModule`.

    Raises:
        UsageError: on loading, if the folder is missing or empty, a file is not an 8-bit image, or
            sizes differ and resize is not given.
    """

    def __init__(
        self,
        path: str,
        resize: int | None = None,
        greyscale: bool = False,
        in_memory: bool = True,
        num_workers: int = 2,
        **common: Any,
    ) -> None:
        super().__init__(**common)
        at_least("resize", 1 if resize is None else resize, 1)
        at_least("num_workers", num_workers, 0)
        self.path = path_of(path, "data.path")
        self.resize, self.greyscale = resize, greyscale
        self.in_memory, self.num_workers = in_memory, num_workers

    @cached_property
    def shape(self) -> tuple[int, ...]:
        first = next(iter(self._files.values()))[0]
        return tuple(read_image(first, self.resize, self.greyscale).shape)

    @cached_property
    def _roots(self) -> dict[str, Path]:
        if not self.path.is_dir():
            raise UsageError(f"there is no folder {self.path}: give data.path, a folder of images.")
        ready = {split: self.path / split for split in SPLITS if (self.path / split).is_dir()}
        return ready if {"train", "test"} <= ready.keys() else {"train": self.path}

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        files = {split: files_in(root) for split, root in self._roots.items()}
        for split, found in files.items():
            if not found:
                raise UsageError(f"{self._roots[split]} holds no images.")
        return files

    @property
    def ready(self) -> bool:
        """Whether the folder is already split."""
        return "test" in self._roots

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, by label."""
        return tuple(sorted(set().union(*self._kinds.values())))

    @cached_property
    def _kinds(self) -> dict[str, list[str]]:
        """The subfolder that each file lies in; "" if it lies in the folder itself."""
        kinds = {}
        for split, files in self._files.items():
            parts = [file.relative_to(self._roots[split]).parts for file in files]
            kinds[split] = [kind if inner else "" for kind, *inner in parts]
        return kinds

    def read(self) -> Mapping[str, Examples]:
        number = {kind: i for i, kind in enumerate(self.classes)}
        how = (self.shape, self.resize, self.greyscale, self.num_workers)
        sets = {
            split: ImageFiles(files, torch.tensor([number[k] for k in self._kinds[split]]), *how)
            for split, files in self._files.items()
        }
        return {split: s.load() for split, s in sets.items()} if self.in_memory else sets
