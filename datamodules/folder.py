"""Any folder of images, held in memory or read by worker processes."""

import builtins
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Literal, TypeVar, final

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError, at_least, one_of, printable
from ae_lightning.core.files import path_of
from ae_lightning.core.fingerprints import Fingerprint

from .loading.datasets import Examples, Named
from .loading.decoding import Unreadable, count_frames
from .loading.divided_folder import DividedFolder
from .loading.image_files import READ_AT_ONCE, SLOW, ImageFiles, demand_memory
from .loading.listing import Source, left_out
from .loading.notices import Notice
from .loading.rendering import Fit, Rendering
from .loading.splits import require_split
from .pairs import PairDataModule

T = TypeVar("T", int, float)


@final
class ImageFolder(PairDataModule):
    """The images in a folder, at any depth; its immediate subfolders are the classes.

    Folders named train, val and test, or training, valid, validation, dev and testing, in any
    letter case, are the splits. What is missing of them is taken from train: a file is in test if
    u < s, and in val if s ≤ u < 2s, with s the share `val_size` and u a hash of `split_seed` and
    the file's name below the folder. So adding files moves none, and shares hold on average.

    Values in [0, 1] are the bytes over 255, and those of deeper images (v − low)/(high − low),
    with low and high the range of the file's type. Files of another kind, and hidden ones, are
    stepped over.

    Args:
        path: the folder; or one image file, for what follows training.
        resize: the side, in pixels, of the square that images are brought to, or (height, width);
            if None, they keep their size, which must be the same for all.
        fit: whether images of other proportions are cropped at the centre, padded with the
            background, or stretched.
        greyscale: whether to turn the colours into one channel; otherwise there are three, or as
            many as there are bands.
        background: what shows behind transparent images: a grey value in [0, 1], or three values.
        frames: of a file of several frames or pages, take the first, or all, each as an example.
        range: the values that become 0 and 1 in images of more than 8 bits; those of the type, or
            0 and 1 of floats, if None.
        bits: 8 to store bytes, or 32 to store floats; if None, what the first image needs.
        max_pixels: how many pixels an image may have, before it is resized.
        unreadable: whether to refuse a file that cannot be read, or to skip it and say so.
        in_memory: whether to read all images at the start; otherwise workers read each batch.
        num_workers: how many processes read; 0 for none besides the one that trains.
        val_size: the share of images in each split that is divided from train; a tenth, if None.
            From 1 on, it is their number: adding files then moves some from test to val to train,
            and none back.
        common: the arguments of `PairDataModule`.

    Raises:
        UsageError: on loading, if the folder is missing or empty, looks split and is not used so,
            a file cannot be read truly, sizes differ and resize is not given, or memory is short.
    """

    photographs = True

    def __init__(
        self,
        path: str,
        resize: int | tuple[int, int] | None = None,
        fit: Fit = "crop",
        greyscale: bool = False,
        background: float | tuple[float, float, float] = 1.0,
        frames: Literal["refuse", "first", "all"] = "refuse",
        range: tuple[float, float] | None = None,
        bits: Literal[8, 32] | None = None,
        max_pixels: int = 200_000_000,
        unreadable: Literal["refuse", "skip"] = "refuse",
        in_memory: bool = True,
        num_workers: int = 2,
        val_size: int | float | None = None,
        **common: Any,
    ) -> None:
        super().__init__(val_size=val_size, **common)
        at_least("num_workers", num_workers, 0)
        one_of("frames", frames, ("refuse", "first", "all"))
        one_of("unreadable", unreadable, ("refuse", "skip"))
        self.path = path_of(path, "data.path")
        self.frames, self.skip = frames, unreadable == "skip"
        self.in_memory, self.num_workers = in_memory, num_workers
        self.render = Rendering(
            size=None if resize is None else as_pair(resize),
            fit=fit,
            greyscale=greyscale,
            background=as_colour(background),
            span=None if range is None else as_pair(range),
            bits=bits,
            max_pixels=max_pixels,
        )
        self.folder = DividedFolder(self.path, self.skip, val_size, self.split_seed)

    @property
    def ready(self) -> bool:
        """Whether the folder is already split, so that its training images lie in order."""
        return bool(self.folder.ready)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, by label."""
        return self.folder.classes

    @property
    def fingerprint(self) -> Fingerprint:
        return self.folder.fingerprint

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._like.shape)

    @cached_property
    def _like(self) -> Tensor:
        """The first example that can be read."""
        return self._first([source for split in self._sources.values() for source in split])

    def _first(self, sources: Sequence[Source]) -> Tensor:
        """The first of some files that can be read."""
        if self.render.size is not None:  # else the image itself bounds it
            channels = 1 if self.render.greyscale else 3
            self._demand_memory((channels, *self.render.size), 1, len(sources))
        for source in sorted(sources, key=lambda source: source.name.split("/")):
            try:
                return self.render(source.path, source.frame)
            except Unreadable:
                if not self.skip:
                    raise
        raise UsageError(f"{self.path} holds no image that can be read.")

    @cached_property
    def _sources(self) -> dict[str, list[Source]]:
        """The examples of each split."""
        return {split: self._framed(files) for split, files in self.folder.files.items()}

    def _framed(self, files: Sequence[Source]) -> list[Source]:
        """The examples in some files: each is one, or as many as it has frames."""
        return [source for file in files for source in self._frames(file)]

    def _frames(self, file: Source) -> list[Source]:
        if self.frames == "refuse":
            return [file]
        if self.frames == "first":
            return [file._replace(frame=0)]
        try:
            number = count_frames(file.path, self.render.max_pixels)
        except Unreadable:
            if not self.skip:
                raise
            number = 1
        return [file._replace(frame=i) for i in builtins.range(number)]

    def named(self, split: str | None = None) -> list[Named]:
        """Return the files of a split; or all as one group, however few they are."""
        if split is not None and self.path.is_file():
            raise UsageError(f"{self.path} is one file, and has no split {split}: name no split.")
        if split is not None:
            require_split(split, self.folder.files)
        sources = (
            self._sources[split] if split is not None else self._framed(self.folder.everything)
        )
        kinds = sorted({self.folder.class_of(source) for source in sources})
        like = self._first(sources) if split is None else self._like  # as training takes it
        files = self._files(sources, kinds, like)
        names = [name_of(source) for source in sources]
        if len(set(names)) < len(names):
            twice = next(name for name, number in Counter(names).items() if number > 1)
            raise UsageError(
                f"two images in {self.path} are called {printable(twice)}: rename a file."
            )
        return [Named(split or "train", files, names.__getitem__, lambda y: kinds[y] or None)]

    def _files(self, sources: Sequence[Source], kinds: Sequence[str], like: Tensor) -> ImageFiles:
        label = {name: y for y, name in enumerate(kinds)}
        y = torch.tensor([label[self.folder.class_of(source)] for source in sources])
        return ImageFiles(sources, y, like, self.render, self.num_workers)

    def read(self) -> Mapping[str, Examples]:
        n = sum(map(len, self._sources.values()))
        self._demand_memory(self.shape, self._like.element_size(), n)
        sets, unread = dict[str, Examples](), list[str]()
        for split, sources in self._sources.items():
            files = self._files(sources, self.classes, self._like)
            sets[split], wrong = files, list[str]()
            if self.in_memory:
                sets[split], wrong = files.load(self.skip)
            elif self.skip:
                sets[split], wrong = files.readable()
            unread += wrong
        if unread:
            Notice(left_out(unread, n)).say()
        return sets

    def _demand_memory(self, shape: Sequence[int], value: int, n: int) -> None:
        """Refuse what memory cannot hold: n images, or else those of the batches in flight."""
        hint = "lower resize, or " * (self.render.size is not None) + "set in_memory to false"
        ahead = 2 * self.num_workers * READ_AT_ONCE if n >= SLOW else 0
        if not self.in_memory:
            n, ahead = self.batch_size, 2 * self.num_workers * self.batch_size
            hint = "lower batch_size, num_workers or resize"
        processes = 1 if self.trainer is None else self.trainer.num_devices
        demand_memory(n, ahead, shape, math.prod(shape) * value * processes, hint)


def name_of(source: Source) -> str:
    """A file's name below the folder, with the number of its frame beyond the first."""
    name, _, _, frame = source
    if not frame:
        return name
    whole = PurePosixPath(name)
    return str(whole.with_name(f"{whole.stem}.{frame}{whole.suffix}"))


def as_pair(value: T | Sequence[T]) -> tuple[T, T]:
    """One value twice, or two values."""
    pair = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(pair) != 2:
        raise UsageError(f"{list(pair)} has {len(pair)} numbers: expected two.")
    return pair


def as_colour(value: float | Sequence[float]) -> tuple[float, float, float]:
    """One value thrice, or three values."""
    colour = tuple(value) if isinstance(value, Sequence) else (value, value, value)
    if len(colour) != 3:
        raise UsageError(f"background has {len(colour)} values: expected one, or three.")
    return colour
