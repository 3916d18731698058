"""Evaluate: everything that a trained model is judged by, in one table."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch

from ae_lightning.core.errors import UsageError, at_least, one_of
from ae_lightning.core.fingerprints import digest_of
from ae_lightning.core.randomness import require_seed
from ae_lightning.inference.configurations import Flat
from ae_lightning.inference.inputs import Inputs, opened
from ae_lightning.inference.measures.disentanglement import disentanglement
from ae_lightning.inference.measures.figures import Figure, NotDefined, Settings, first
from ae_lightning.inference.measures.finetuning import finetuning
from ae_lightning.inference.measures.information import information
from ae_lightning.inference.measures.likelihood import likelihood
from ae_lightning.inference.measures.realism import realism
from ae_lightning.inference.measures.reconstruction import reconstruction
from ae_lightning.inference.measures.representation import representation
from ae_lightning.inference.measures.score import score
from ae_lightning.inference.measures.sensitivity import sensitivity
from ae_lightning.inference.measures.sparsity import sparsity
from ae_lightning.inference.reading import Reading
from ae_lightning.inference.trained import TrainedModel
from ae_lightning.training.allocator import keep_freed_memory

if TYPE_CHECKING:
    from pandas import DataFrame

TOLD: Final = 256  # examples by which data are told from others
Measure = Callable[[TrainedModel, Inputs, Settings], list[Figure]]
GROUPS: Final[dict[str, Measure]] = {
    measure.__name__: measure
    for measure in (
        likelihood,
        reconstruction,
        sensitivity,
        information,
        sparsity,
        representation,
        disentanglement,
        score,
        realism,
        finetuning,
    )
}
IF_ASKED: Final = ("finetuning",)  # groups that take long


class Measured(NamedTuple):
    """What was measured, on what.

    Args:
        model: the checkpoint.
        data: the class of the data.
        split: which split of them; None for all.
        examples: how many.
        settings: how much was drawn.
        figures: by group.
        left_out: the groups that have no meaning here, with the reason.
        configuration, training_seed: what the model was trained with.
        digest: of the first examples, their number and shape, by which `compare` knows them.
    """

    model: str
    data: str
    split: str | None
    examples: int
    settings: Settings
    figures: dict[str, list[Figure]]
    left_out: dict[str, str]
    configuration: Flat
    training_seed: int
    digest: str

    def frame(self) -> "DataFrame":
        """As a table with a row for each figure."""
        from pandas import DataFrame

        rows = [{"group": g, **f._asdict()} for g, found in self.figures.items() for f in found]
        return DataFrame(rows, columns=["group", *Figure._fields])

    def json(self) -> str:
        """As JSON, from which `compare` reads it."""
        plain: dict[str, Any] = self._asdict() | {"settings": self.settings._asdict()}
        plain["figures"] = {
            group: {figure.name: described(figure) for figure in found}
            for group, found in self.figures.items()
        }
        return json.dumps(plain, indent=2)


def described(figure: Figure) -> dict[str, Any]:
    """A figure without its name; what is no number in JSON, such as infinity, is null."""
    plain = figure._asdict()
    del plain["name"]
    for name in ("value", "error"):
        plain[name] = None if plain[name] is None or not math.isfinite(plain[name]) else plain[name]
    return plain


def evaluate(
    model: str | Path | TrainedModel,
    data: str | None = None,
    *,
    only: Sequence[str] = (),
    samples: int = 500,
    repeats: int = 3,
    subset: int = 1000,
    labels: int = 10_000,
    weights: str | None = None,
    seed: int = 0,
    split: str | None = "test",
    limit: int | None = None,
    batch_size: int = 256,
    device: str = "auto",
    reading: Reading | None = None,
) -> Measured:
    """Measure a trained model on data.

    Args:
        model: a run, a checkpoint or a loaded model.
        data: a folder, an array file or a shipped data set; that of training if None.
        only: the groups to measure; all that are defined and do not take long, if empty.
        samples, repeats, subset, labels, weights, seed: see `Settings`.
        split: train, val or test; all, if None.
        limit: how many examples to take at most.
        batch_size: how many to compute at a time.
        device: auto, cpu, cuda, ….
        reading: how image files are read, if not as in training: see `Reading`.

    Raises:
        UsageError: if there is no such model, no such data or no such group, or they do not fit;
            or if a group that `only` names has no meaning here.
    """
    only = [only] if isinstance(only, str) else only
    for group in only:
        one_of("only", group, GROUPS)
    settings = Settings(samples, repeats, subset, labels, seed, batch_size, weights)
    for name in ("samples", "repeats", "subset", "labels", "batch_size"):
        at_least(name, getattr(settings, name), 1)
    require_seed(seed)
    trained, inputs = opened(model, [data] if data else [], split, limit, device, reading)
    if trained.device.type == "cpu":
        keep_freed_memory()
    figures, left_out = dict[str, list[Figure]](), dict[str, str]()
    for name, measure in GROUPS.items():
        if name not in only and (only or name in IF_ASKED):
            continue
        try:
            figures[name] = measure(trained, inputs, settings)
        except NotDefined as reason:
            if only:
                raise UsageError(f"{name}: {reason}") from None
            left_out[name] = str(reason)
    kind = type(inputs.data).__name__
    found = settings, figures, left_out, *trained.asked, digest_of_examples(inputs)
    return Measured(str(trained.file), kind, split, len(inputs), *found)


def digest_of_examples(inputs: Inputs) -> str:
    """Return a digest of the first examples, their shape, and how many there are."""
    x = torch.cat([batch.pair.x for batch in first(inputs, TOLD).batches(TOLD)])
    return digest_of([len(inputs), list(x.shape), memoryview(x.numpy().tobytes())])
