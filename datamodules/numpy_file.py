"""Your own arrays, from a file."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, Final, final
from zipfile import ZipFile, is_zipfile

import numpy as np
import torch
from torch import Tensor

from ae_lightning.core.errors import UsageError, printable
from ae_lightning.core.files import path_of
from ae_lightning.core.fingerprints import Fingerprint, digest_of
from ae_lightning.core.memory import require_room

from .loading.datasets import Examples, Named, Whole
from .pairs import SPLITS, PairDataModule

AT_ONCE: Final = 2**20  # examples to digest at a time
NAMED: Final = "x (and y), or x_train, x_test and perhaps x_val (and y_train, …)"
READ: Final = {f"{array}{end}" for array in "xy" for end in ("", *(f"_{s}" for s in SPLITS))}


@final
class NumpyFile(PairDataModule):
    """Examples in memory from a file: .npy, .npz, or tensors saved by torch.save as .pt.

    A file of several arrays names them x and, for labels, y; or, if it is already split, x_train,
    y_train, x_val, y_val, x_test and y_test. Bytes are images of shape (N, H, W), (N, C, H, W) or
    (N, H, W, C); floats are vectors (N, D) or images of the same shapes.

    Args:
        path: the file.
        unit_interval: whether floats lie in [0, 1], as the Bernoulli likelihood needs; this is
            checked. Bytes always do, once divided by 255.
        common: the arguments of `PairDataModule`.

    Raises:
        UsageError: on loading, if the file is missing or unreadable, or holds something else.
    """

    def __init__(self, path: str, unit_interval: bool = False, **common: Any) -> None:
        super().__init__(**common)
        self.path, self.unit_interval = path_of(path, "data.path"), unit_interval

    def _arrays(self) -> dict[str, Any]:
        """What the file holds, by name: tensors, arrays of what is no number, or None if unread.

        Raises:
            UsageError: if it is missing or unreadable, or they would take more memory than is free.
        """
        if not self.path.is_file():
            raise UsageError(
                f"there is no file {self.path}: give data.path, a .npy, .npz or .pt file."
            )
        try:
            with opened(self.path) as found:
                return {
                    str(n): as_tensor(found[n], f"{self.path}: {n}") if n in READ else None
                    for n in found
                }
        except UsageError:
            raise
        except Exception as error:  # NumPy and torch raise many kinds on a file of another format
            raise UsageError(
                f"{self.path} cannot be read: expected plain arrays in a .npy, .npz or .pt file."
            ) from error

    @cached_property
    def _examples(self) -> dict[str, Whole]:
        arrays = self._arrays()
        if {"x_train", "x_test"} <= arrays.keys():
            named = {split: f"_{split}" for split in SPLITS if f"x_{split}" in arrays}
        elif "x" in arrays and not {f"x_{split}" for split in SPLITS} & arrays.keys():
            named = {"train": ""}
        else:
            held = printable(", ".join(arrays), 240) or "nothing"
            raise UsageError(f"{self.path} holds {held}: expected {NAMED}.")
        self._labelled = any(f"y{end}" in arrays for end in named.values())
        for name in READ & arrays.keys():
            if name[1:] not in named.values():
                raise UsageError(f"{self.path} holds {name}, but no x{name[1:]}: expected {NAMED}.")
        return {split: self._checked(arrays, f"x{end}", f"y{end}") for split, end in named.items()}

    def _checked(self, arrays: dict[str, Any], x_name: str, y_name: str) -> Whole:
        for name in (x_name, y_name):
            if isinstance(text := arrays.get(name), np.ndarray):
                kind = text.dtype.type.__name__.removesuffix("_")
                raise UsageError(f"{self.path}: {name} holds {kind}: expected numbers.")
        x = arrays.pop(x_name)  # so that doubles are not held beside their floats
        where = f"{self.path}: {x_name}"
        if x.dtype != torch.uint8 and not x.dtype.is_floating_point:
            kind = str(x.dtype).removeprefix("torch.")
            raise UsageError(f"{where} holds {kind}: expected uint8 images, or floats.")
        if x.ndim < 2 or x.numel() == 0:
            raise UsageError(
                f"{where} has the shape {tuple(x.shape)}: expected (N, D), (N, H, W) or "
                "(N, C, H, W), each at least 1."
            )
        if x.dtype.is_floating_point:
            x = x.float()
            low, high = x.aminmax()
            if not (low.isfinite() and high.isfinite()):
                raise UsageError(f"{where} holds values that are not finite.")
            if self.unit_interval and not 0 <= float(low) <= float(high) <= 1:
                raise UsageError(
                    f"{where} holds values from {low:.3g} to {high:.3g}, not in [0, 1]."
                )
        y = arrays.get(y_name, torch.zeros(1, dtype=torch.long).expand(len(x)))
        if y.ndim != 1 or y.is_complex() or not y.isfinite().all():
            raise UsageError(
                f"{self.path}: {y_name} of shape {tuple(y.shape)}: expected finite labels (N,)."
            )
        if y.dtype != torch.long and len(broken := y.double()[y.long().double() != y.double()]):
            value = f"{float(broken[0]):.6g}"
            raise UsageError(
                f"{self.path}: {y_name} holds {value}: expected whole numbers of 64 bits."
            )
        if len(y) != len(x):
            raise UsageError(f"{where} has {len(x)} examples, and {y_name} {len(y)} labels.")
        return Whole(as_channels(x), y.long())

    @cached_property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._examples["train"].x.shape[1:])

    @property
    def value_range(self) -> tuple[float, float] | None:
        is_bytes = self._examples["train"].x.dtype == torch.uint8
        return (0.0, 1.0) if is_bytes or self.unit_interval else None

    @cached_property
    def fingerprint(self) -> Fingerprint:
        parts = self._examples.items()
        return {
            "counts": {split: len(part) for split, part in parts},
            "classes": [],
            "digests": {split: digest_of(content(part)) for split, part in parts},
        }

    def named(self, split: str | None = None) -> list[Named]:
        """Return the arrays of a split; or all, those that are not split in their own order."""
        if split is not None:
            return super().named(split)
        whole = list(self._examples) == ["train"]
        found = ((s, self._examples[s]) for s in SPLITS if s in self._examples)
        return [Named(s, x, str if whole else f"{s}/{{}}".format, self.label_of) for s, x in found]

    def label_of(self, y: int) -> str | int | None:
        return y if self._examples and self._labelled else None  # known once they are read

    def read(self) -> Mapping[str, Examples]:
        shapes = {split: tuple(a.x.shape[1:]) for split, a in self._examples.items()}
        if len(set(shapes.values())) > 1:
            raise UsageError(f"{self.path} holds splits of different shapes: {shapes}.")
        if len({a.x.dtype for a in self._examples.values()}) > 1:
            raise UsageError(f"{self.path} holds bytes in one split, and floats in another.")
        return self._examples


@contextmanager
def opened(file: Path) -> Iterator[Mapping[str, Any]]:
    """The arrays of a file by their names, those of an archive unread; the only one is x.

    Raises:
        UsageError: if what is read of an archive would take more memory than is free.
        Exception: of many kinds, if the file is of another format.
    """
    if is_zipfile(file):
        with ZipFile(file) as archive:
            members = archive.infolist()
        of_numpy = file.suffix == ".npz"
        wanted = [m for m in members if not of_numpy or m.filename.removesuffix(".npy") in READ]
        require_room(sum(m.file_size for m in wanted), str(file))
    if file.suffix not in (".npy", ".npz"):
        found = torch.load(file, map_location="cpu", weights_only=True)
    else:
        found = np.load(file, allow_pickle=False)
    with found if isinstance(found, np.lib.npyio.NpzFile) else nullcontext():
        yield found if isinstance(found, Mapping) else {"x": found}


def as_tensor(array: Any, name: str = "x") -> Any:
    """Return an array as a dense tensor, or as it is if it holds text or dates.

    Raises:
        UsageError: if it has no values, or too many to be written out.
    """
    if isinstance(array, np.ndarray):
        if array.dtype.kind not in "biufc":
            return array
        if not array.dtype.isnative or array.dtype == np.longdouble:
            own = array.dtype.newbyteorder("=")
            array = array.astype(np.float64 if own == np.longdouble else own)
    x = torch.as_tensor(array).detach()
    if x.is_meta or x.is_nested or x.is_quantized:
        raise UsageError(f"{name} is a tensor without values, nested or quantized.")
    held = x.untyped_storage().nbytes() if x.layout is torch.strided else 0
    if (whole := x.numel() * x.element_size()) > held:
        require_room(whole, f"{name} of shape {tuple(x.shape)}")
    return x.to_dense().resolve_neg()


def content(examples: Whole) -> Iterator[object]:
    """All that tells examples from others, a part at a time: some must be laid out for it."""
    for tensor in (examples.x, examples.y):
        yield from (tuple(tensor.shape), tensor.numpy().dtype)
        for part in tensor.split(AT_ONCE):
            array: Any = np.ascontiguousarray(part.numpy())
            yield memoryview(array).cast("B")


def as_channels(x: Tensor) -> Tensor:
    """Bring images to (N, C, H, W), from (N, H, W) and (N, H, W, C); leave vectors (N, D).

    >>> as_channels(torch.zeros(5, 28, 28)).shape, as_channels(torch.zeros(5, 32, 32, 3)).shape
    (torch.Size([5, 1, 28, 28]), torch.Size([5, 3, 32, 32]))
    """
    if x.ndim == 3:
        return x[:, None]
    if x.ndim != 4:
        return x
    _, first, second, last = x.shape
    opacity = last in (2, 4) and min(first, second) > 4  # else it may be a width
    if opacity or (last in (1, 3) and first not in (1, 3)):
        return x.permute(0, 3, 1, 2).contiguous()
    return x
