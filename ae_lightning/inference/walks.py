"""Walks through the codes: along one dimension at a time, or from one example to another."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ae_lightning.callbacks.drawing.images import is_image, limits_of
from ae_lightning.callbacks.drawing.observing import observing
from ae_lightning.callbacks.interpolation import between, interpolation
from ae_lightning.callbacks.latent_traversal import film, latent_traversal, traversal_film
from ae_lightning.core.config_files import is_file
from ae_lightning.core.errors import UsageError, at_least
from ae_lightning.core.printing import counted
from ae_lightning.core.showing import shown
from ae_lightning.inference.data import data_named
from ae_lightning.inference.inputs import open_inputs, require_read, thinned
from ae_lightning.inference.reading import Reading, loaded
from ae_lightning.inference.trained import TrainedModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES = 500  # over which the code's spread is found
FRAMES = 25
PLACE = re.compile(r"(train|val|test)/(\d{1,12})", re.ASCII)


@shown
class Walk(NamedTuple):
    """A walk as a picture and as a film.

    Args:
        figure: its strips.
        frames: in [0, 1] (T, C, H, W); None if the data are no images.
    """

    figure: "Figure"
    frames: Tensor | None


def traverse(
    model: str | Path | TrainedModel,
    start: str | None = None,
    *,
    data: str | None = None,
    dims: list[int] | None = None,
    rows: int = 10,
    columns: int = 11,
    device: str = "auto",
    reading: Reading | None = None,
) -> Walk:
    """Move one dimension of the code at a time, and return what that decodes to.

    Args:
        model: a run, a checkpoint or a loaded model.
        start: the example where the walks begin, a file or SPLIT/PLACE of the data of training; the
            mean code, if None.
        data: the examples whose codes set how far they go; the validation split of the data of
            training, if None.
        dims: the dimensions; the `rows` most important, if None.
        rows, columns: how many dimensions and values to draw.
        device: auto, cpu, cuda, ….
        reading: how image files are read, if not as in training: see `Reading`.

    Raises:
        UsageError: if there is no such model, example, data or dimension.
    """
    for name, value in {"rows": rows, "columns": columns}.items():
        at_least(name, value, 1)
    trained = loaded(model, device, reading)
    require_reading(trained, data, *([] if start is None else [start]))
    first = None if start is None else trained.model.code(example(trained, start))[0]
    inputs = open_inputs(trained, [] if data is None else [data], "val" if data is None else None)
    batches = thinned(inputs, EXAMPLES).batches(device=trained.device)
    x = torch.cat([batch.pair.x for batch in batches])
    figure = latent_traversal(trained.model, x, first, dims, rows, columns)
    if not is_image(trained.shape):
        return Walk(figure, None)
    with observing(trained.model):
        return Walk(figure, traversal_film(trained.model, x, first, dims, rows, FRAMES))


def interpolate(
    model: str | Path | TrainedModel,
    a: str,
    b: str,
    *,
    steps: int = 9,
    device: str = "auto",
    reading: Reading | None = None,
) -> Walk:
    """Walk from the code of one example to that of another, straight and along a great circle.

    Args:
        model: a run, a checkpoint or a loaded model.
        a, b: the examples: files, or SPLIT/PLACE of the data of training.
        steps: how many codes to draw, including both ends.
        device: auto, cpu, cuda, ….
        reading: how image files are read, if not as in training: see `Reading`.

    Raises:
        UsageError: if there is no such model or example.
    """
    at_least("steps", steps, 2)
    trained = loaded(model, device, reading)
    require_reading(trained, a, b)
    ends = example(trained, a), example(trained, b)
    figure = interpolation(trained.model, *ends, steps)
    if not is_image(trained.shape):
        return Walk(figure, None)
    with observing(trained.model):
        decoded = between(trained.model, *ends, torch.linspace(0, 1, FRAMES).to(ends[0]))
        return Walk(figure, film(decoded[0], limits_of(trained.model, decoded)))


def require_reading(trained: TrainedModel, *named: str | None) -> None:
    """Raise UsageError if it is said how image files are read, and none of these are any."""
    if trained.reading:
        names = [None if name is None or place_of(name) else name for name in named]
        require_read(trained, [data_named(trained, name) for name in names])


def place_of(named: str) -> re.Match[str] | None:
    """The split and the place that a name tells, if it is no file's."""
    return None if is_file(Path(named)) else PLACE.fullmatch(named)


def example(trained: TrainedModel, named: str) -> Tensor:
    """Return one example as the model takes it (1, *S).

    Args:
        named: a file, or SPLIT/PLACE of the data of training, as `encode` names them.

    Raises:
        UsageError: if there is none, or there are several.
    """
    if place := place_of(named):
        pair = data_named(trained, None).pairs(place[1], [int(place[2])])
        x: Tensor = pair.x.to(trained.device)
        return x
    inputs = open_inputs(trained, [named])
    if len(inputs) != 1:
        raise UsageError(
            f"{named} holds {counted(len(inputs), 'example')}: name one, a file, or SPLIT/PLACE "
            "such as test/0."
        )
    [batch] = inputs.batches(device=trained.device)
    return batch.pair.x
