"""Whether a model has seen examples in its training, as far as the record of its data tells."""

import os
from collections.abc import Iterable
from contextlib import suppress
from functools import cache

from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import rebuild
from ae_lightning.datamodules import ImageFolder, PairDataModule
from ae_lightning.datamodules.loading.image_files import ImageFiles
from ae_lightning.datamodules.loading.listing import Source
from ae_lightning.inference.data import folder_of
from ae_lightning.inference.inputs import Inputs
from ae_lightning.inference.trained import TrainedModel


def trained_on(trained: TrainedModel, data: PairDataModule) -> bool:
    """Whether these are the data of training."""
    known, given = trained.data, data.record
    if known is None or known["class_path"] != given["class_path"]:
        return False
    former, new = (record["init_args"].get("path") for record in (known, given))
    return bool(former == new)


def seen(trained: TrainedModel, inputs: Inputs) -> bool:
    """Whether the model was trained on some of these examples."""
    files = [e for group in inputs.groups if isinstance(e := group.examples, ImageFiles)]
    if not files:
        return trained_on(trained, inputs.data) and inputs.groups[0].split == "train"
    sources = [source for each in files for source in each.sources][: len(inputs)]
    if (record := folder_of(trained)) is None:
        return False
    former: ImageFolder = rebuild(record)
    root = os.path.realpath(former.path)
    places = places_of(sources)
    if not any(os.path.commonpath([root, place]) == root for place, _ in places):
        return False
    with suppress(UsageError):  # the folder has changed since, and is no longer divided so
        return not places.isdisjoint(places_of(former.folder.files["train"]))
    return False


def places_of(sources: Iterable[Source]) -> set[tuple[str, str]]:
    """Where files lie, whichever way leads there: their folders and names."""
    real = cache(os.path.realpath)
    return {(str(real(source.path.parent)), source.path.name) for source in sources}
