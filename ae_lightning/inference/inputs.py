"""What a trained model is used on: data of any kind, whole, in an order that stays, in batches."""

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError, at_least, printable
from ae_lightning.core.printing import tracked
from ae_lightning.core.types import Pair
from ae_lightning.datamodules import ImageFolder, PairDataModule
from ae_lightning.datamodules.loading.batch_loader import BatchLoader
from ae_lightning.datamodules.loading.datasets import BatchDraw, Examples, Named
from ae_lightning.datamodules.loading.image_files import Attempts, ImageFiles
from ae_lightning.datamodules.loading.listing import left_out
from ae_lightning.inference.data import data_named
from ae_lightning.inference.reading import Reading, loaded
from ae_lightning.inference.trained import TrainedModel


class Batch(NamedTuple):
    """Some examples as a model takes them.

    Args:
        names: of each: a file's path below the folder, or SPLIT/PLACE.
        labels: the class of each, by name or number; None where there are no labels.
        pair: the examples on the device; x̃ is x, unless corruption was asked for.
    """

    names: list[str]
    labels: list[str | int | None]
    pair: Pair


class Inputs:
    """Examples of one or several splits, read in batches.

    Args:
        data: where they come from.
        groups: the examples.
        limit: how many to take at most; all, if None.
    """

    def __init__(
        self, data: PairDataModule, groups: Sequence[Named], limit: int | None = None
    ) -> None:
        self.data, self.groups = data, groups
        self.limit = math.inf if limit is None else at_least("limit", limit, 1)

    def __len__(self) -> int:
        return int(min(sum(len(group.examples) for group in self.groups), self.limit))

    @property
    def deep(self) -> bool:
        """Whether they are images of more than 8 bits a value."""
        files = self.groups[0].examples
        return isinstance(files, ImageFiles) and files.like.dtype.is_floating_point

    @property
    def folder(self) -> Path | None:
        """Where the files lie, if they are images."""
        if not isinstance(self.data, ImageFolder):
            return None
        path: Path = self.data.path
        return path if path.is_dir() else path.parent

    def batches(
        self,
        batch_size: int = 256,
        device: torch.device | None = None,
        title: str | None = None,
        corrupted: bool = False,
    ) -> Iterator[Batch]:
        """Read all in order; files that cannot be read are skipped if the data say so.

        Args:
            title: what a terminal shows beside the progress; nothing, if None.
            corrupted: whether x̃ is corrupted as in evaluation, a function of the example alone.
        """
        at_least("batch_size", batch_size, 1)
        device = device or torch.device("cpu")
        number = sum(len(self._draws(group, size=batch_size)) for group in self._limited())
        yield from tracked(self._batches(batch_size, device, corrupted), title, number)

    def _batches(self, batch_size: int, device: torch.device, corrupted: bool) -> Iterator[Batch]:
        wrong = list[str]()
        for group in self._limited():
            examples, draws = self._readable(group.examples), self._draws(group, batch_size)
            finish = self._finisher(group, device, corrupted, wrong)
            workers = group.examples.workers if len(draws) > 1 else 0
            loader = BatchLoader(examples, draws, finish, workers)
            try:
                yield from (batch for batch in loader if batch.names)
            finally:
                loader.release()
        if wrong:
            warnings.warn(left_out(wrong), stacklevel=2)

    def _limited(self) -> Iterator[Named]:
        left = len(self)
        for group in self.groups:
            if left > 0:
                yield group
            left -= len(group.examples)

    def _draws(self, group: Named, size: int) -> list[BatchDraw]:
        before = sum(len(g.examples) for g in self.groups[: self.groups.index(group)])
        n = min(len(group.examples), len(self) - before)
        return [BatchDraw(rows) for rows in torch.arange(n).split(min(size, max(n, 1)))]

    def _readable(self, examples: Examples) -> Examples:
        skip = isinstance(self.data, ImageFolder) and self.data.skip
        return Attempts(examples, True) if skip and isinstance(examples, ImageFiles) else examples

    def _finisher(
        self, group: Named, device: torch.device, corrupted: bool, wrong: list[str]
    ) -> Callable[[Tensor, Any, BatchDraw], Batch]:
        def finish(x: Tensor, y: Any, draw: BatchDraw) -> Batch:
            if isinstance(y, dict):  # of attempts: why some cannot be read
                wrong.extend(y.values())
                kept = torch.tensor([b for b, r in enumerate(draw.rows.tolist()) if r not in y])
                x, draw = x[kept.long()], draw._replace(rows=draw.rows[kept.long()])
                y = group.examples.y[draw.rows]  # type: ignore[attr-defined]
            names, numbers = list(map(group.name, draw.rows.tolist())), y.tolist()
            label = {number: group.label(number) for number in set(numbers)}  # which are few
            labels = [label[number] for number in numbers]
            pair = self.data.pair(group.split, device, x, y, draw, corrupted)
            return Batch(names, labels, pair)

        return finish


def open_inputs(
    trained: TrainedModel,
    data: Sequence[str] = (),
    split: str | None = None,
    limit: int | None = None,
) -> Inputs:
    """Find the examples that a user names.

    Args:
        trained: the model; images are brought to the size, channels, background and bits a channel
            of its training.
        data: a folder of images, image files, an array file, chunks that `optimize` wrote, or a
            config, shipped or a file; the data of training, if empty.
        split: train, val or test; all of them, if None.
        limit: how many to take at most.

    Raises:
        UsageError: if there are no such data, or they do not fit the model.
    """
    for given in data:
        if not isinstance(given, str | Path):
            kind = type(given).__name__
            raise UsageError(f"data is a {kind}: expected a name, or several one after another.")
    names: Sequence[str | None] = [str(name) for name in data] or [None]
    modules = [data_named(trained, name) for name in names]
    for module in modules:
        if not isinstance(module, ImageFolder):  # which would have to read a file first
            require_fitting(trained, module.shape, module.value_range)
    if len(modules) == 1:
        groups = modules[0].named(split)
    elif all(isinstance(module, ImageFolder) and module.path.is_file() for module in modules):
        groups = [together([group for module in modules for group in module.named(split)])]
    else:
        raise UsageError(f"{len(data)} data are given: name one, or several image files.")
    if isinstance(files := groups[0].examples, ImageFiles):
        require_fitting(trained, tuple(files.like.shape), modules[0].value_range)
    return Inputs(modules[0], groups, limit)


def together(groups: Sequence[Named]) -> Named:
    """Image files that were given one by one as one group.

    Raises:
        UsageError: if two bear one name.
    """
    files: list[Any] = [group.examples for group in groups]
    sources = [source for some in files for source in some.sources]
    names = [group.name(place) for group in groups for place in range(len(group.examples))]
    if twice := [name for name, number in Counter(names).items() if number > 1]:
        raise UsageError(f"two files are called {printable(twice[0])}: give their folder.")
    y, first = torch.zeros(len(sources), dtype=torch.long), files[0]
    files = ImageFiles(sources, y, first.like, first.render, 2)
    return Named("train", files, names.__getitem__, lambda y: None)


def thinned(inputs: Inputs, most: int) -> Inputs:
    """So many examples at most, evenly spread over the data: every second, every third, ….

    Files that lie by class are then of all classes.
    """
    stride = -(-len(inputs) // most)
    if stride == 1:
        return inputs
    groups = list[Named]()
    for group in inputs.groups:
        rows = torch.arange(0, len(group.examples), stride)
        name = partial(lambda group, place: group.name(place * stride), group)
        groups.append(group._replace(examples=group.examples.select(rows), name=name))
    return Inputs(inputs.data, groups, most)


def require_fitting(
    trained: TrainedModel, shape: tuple[int, ...], value_range: tuple[float, float] | None
) -> None:
    """Raise UsageError if data are not of a model's shape or range."""
    if tuple(shape) != trained.shape:
        raise UsageError(
            f"{trained.file} holds a model for data of shape {trained.shape}, not {tuple(shape)}."
        )
    wanted = trained.model.value_range
    if wanted is not None and value_range != tuple(wanted):
        low, high = wanted
        raise UsageError(
            f"the model takes values in [{low:g}, {high:g}], and these are of any size."
        )


def opened(
    model: str | Path | TrainedModel,
    data: Sequence[str],
    split: str | None,
    limit: int | None,
    device: str,
    reading: Reading | None = None,
) -> tuple[TrainedModel, Inputs]:
    """Load a model, unless it is loaded, and find the data to use it on.

    Raises:
        UsageError: if there is no such model or no such data, or they do not fit.
    """
    trained = loaded(model, device, reading)
    inputs = open_inputs(trained, data, split, limit)
    require_read(trained, [inputs.data])
    return trained, inputs


def require_read(trained: TrainedModel, modules: Sequence[PairDataModule]) -> None:
    """Raise UsageError if it is said how image files are to be read, and no data hold any."""
    if trained.reading and not any(isinstance(module, ImageFolder) for module in modules):
        name, kind = next(iter(trained.reading)), type(modules[0]).__name__
        raise UsageError(f"data.{name} says how image files are read: {kind} has none.")
