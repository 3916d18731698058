"""The data that a user names, prepared as those that a model was trained on."""

import os
from pathlib import Path
from typing import Any, Final

from ae_lightning.core.addresses import is_remote
from ae_lightning.core.arguments import parameters_of
from ae_lightning.core.config_files import is_file, read, shipped
from ae_lightning.core.errors import UsageError, closest, nearest
from ae_lightning.core.files import path_of
from ae_lightning.core.parts import Record, rebuild
from ae_lightning.core.trust import trust_named
from ae_lightning.datamodules import ImageFolder, NumpyFile, PairDataModule, Stream
from ae_lightning.datamodules.pairs import SPLITS
from ae_lightning.datamodules.streaming.manifest import MANIFEST
from ae_lightning.inference.reading import Reading
from ae_lightning.inference.trained import TrainedModel

ARRAYS: Final = (".npy", ".npz", ".pt")
CONFIGS: Final = (".yaml", ".yml")
# What a data module keeps of the one that a model was trained on, if it takes it at all.
KEPT: Final = ("corruption", "dequantise", "batch_size", "split_seed", "val_size")
# And of data with a name, such as mnist, unless the config says otherwise.
KEPT_BY_NAME: Final = (*KEPT, "binarise", "root", "download")


def data_named(trained: TrainedModel, named: str | None) -> PairDataModule:
    """The data that a user names, prepared as those of training; these themselves, if None.

    Raises:
        UsageError: if there are no such data, or none are recorded.
    """
    known = trained.data
    if named is None:
        if known is None:
            raise UsageError(f"{trained.file} records no data: name some, such as mnist.")
        place = known["init_args"].get("path")
        if isinstance(place, str) and not is_remote(place) and not os.path.lexists(place):
            raise UsageError(f"{trained.file} was trained on {place}, which is gone: name data.")
        return data_of(trained, known)
    if is_remote(named):
        return Stream(named)
    path, former = path_of(named, "data"), dict(known["init_args"]) if known else {}
    kept = {name: rebuild(former[name]) for name in KEPT if name in former}
    if path.is_dir() and os.path.lexists(path / MANIFEST):
        return Stream(named, **kept)
    if path.is_dir() or (is_file(path) and path.suffix not in (*ARRAYS, *CONFIGS)):
        return ImageFolder(named, **kept | rendering(trained))
    if is_file(path) and path.suffix in ARRAYS:
        unit = trained.model.value_range is not None
        return NumpyFile(named, unit_interval=unit, **kept)
    if not is_file(path) and named not in shipped():
        if path.suffix or path.name != named:
            raise UsageError(f"there is no file or folder {named[:100]}{meant(path)}")
        hint = nearest(named, [*data_shipped(), *entries_of(Path())])
        raise UsageError(f"there are no data {named[:100]}, as a file, a folder or shipped: {hint}")
    tree = read(named)
    trust_named(tree)
    if not (record := tree.get("data")):
        raise UsageError(f"{named} names no data, as mnist does.")
    return data_of(trained, record, former)


def data_shipped() -> list[str]:
    """The names of shipped data."""
    return [name for name, file in shipped().items() if "data" in read(str(file))]


def entries_of(folder: Path) -> list[str]:
    """The names in a folder; none if it cannot be listed."""
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError:
        return []


def meant(path: Path) -> str:
    """The end of a sentence on a path that leads nowhere: the nearest one that leads somewhere.

    >>> meant(Path("mnist/tset"))
    ': did you mean mnist with split test?'
    """
    head, *rest = path.parts
    split = closest(rest[0], SPLITS) if len(rest) == 1 else None
    if split and head in data_shipped() and not os.path.lexists(head):
        return f": did you mean {head} with split {split}?"
    there = Path()
    for part in path.parts:
        if not os.path.lexists(there / part):
            close = closest(part, entries_of(there))
            return "." if close is None else f": did you mean {there / close}?"
        there /= part
    return "."


def data_of(trained: TrainedModel, record: Record, former: Record | None = None) -> PairDataModule:
    """Build what a record names, with what of training's data it leaves open.

    Raises:
        UsageError: if it names no data.
    """
    found: Any = rebuild(record)
    if not isinstance(found, PairDataModule):
        raise UsageError(f"{type(found).__name__} is no data: expected a PairDataModule.")
    given, takes = record.get("init_args") or {}, parameters_of(type(found))
    own = {n: v for n, v in (former or {}).items() if n in KEPT_BY_NAME and n in takes}
    changed = trained.reading if isinstance(found, ImageFolder) else {}
    whole = own | given | changed
    same: PairDataModule = found if whole == given else rebuild(record | {"init_args": whole})
    return same


def folder_of(trained: TrainedModel) -> Record | None:
    """The record of the folder of images that a model was trained on, if it was one."""
    data = trained.data
    kind = data["class_path"].rpartition(".")[2] if data else ""
    return data if kind == ImageFolder.__name__ else None


def rendering(trained: TrainedModel) -> Record:
    """How images become examples: as in training, or else so that they fit the model."""
    if (record := folder_of(trained)) is not None:
        former = record["init_args"]
        found = {name: rebuild(former[name]) for name in Reading.__annotations__ if name in former}
        return found | trained.reading
    if len(trained.shape) != 3:
        raise UsageError(
            f"{trained.file} holds a model for data of shape {trained.shape}, and not for images."
        )
    return {"resize": trained.shape[1:], "greyscale": trained.shape[0] == 1} | trained.reading
