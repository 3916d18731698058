"""What a classifier learns if the encoder goes on learning with it."""

import copy
from collections.abc import Iterator
from itertools import islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR

from ae_lightning.core.printing import counted
from ae_lightning.inference.inputs import Inputs
from ae_lightning.inference.measures.figures import STANDARD, Figure, NotDefined, Settings
from ae_lightning.inference.measures.representation import share
from ae_lightning.inference.trained import TrainedModel

STEPS, BATCH, LR = 20_000, 128, 1e-3


def finetuning(
    trained: TrainedModel, inputs: Inputs, settings: Settings = STANDARD
) -> list[Figure]:
    """Measure the accuracy of a linear classifier on the code, trained together with the encoder.

    Both learn from the training split (at most `settings.labels`) for 20,000 steps of 128 by Adam,
    whose rate falls from 0.001 to 0 along a cosine; the model itself stays as it is. The interval
    holds 95 % over the examples (Wilson's). It takes as long as a training, and is measured only if
    asked for.

    References:
        | Contractive Auto-Encoders (Rifai et al., 2011)
    """
    if any(group.split == "train" for group in inputs.groups):
        raise NotDefined("the classifier learns from the split train: measure it on val or test.")
    source = Inputs(inputs.data, inputs.data.named("train"), settings.labels)
    x, y = examples(trained, source, settings.batch_size)
    known, y = y.unique(return_inverse=True)
    if len(known) < 2:
        raise NotDefined(
            f"a classifier needs two classes or more, and has {counted(len(y), 'label')} of one to "
            "learn from."
        )
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(settings.seed)
        classifier = Classifier(trained, len(known)).to(x.device)
        learn(classifier, x, y)
    hits = 0
    with torch.no_grad():
        test, labels = examples(trained, inputs, settings.batch_size)
        for some, true in zip(test.split(1024), labels.split(1024), strict=True):
            hits += int((known[classifier(some).argmax(1)] == true).sum())
    note = f"{len(x):,} labels, {STEPS:,} steps, seed {settings.seed}"
    return [share("finetuned_accuracy", hits, len(inputs), note)]


class Classifier(nn.Module):
    """A linear map of the code of a copy of the encoder, from x (B, *S) to logits (B, C)."""

    def __init__(self, trained: TrainedModel, classes: int) -> None:
        super().__init__()
        model = trained.model
        self.encoder, self.posterior = copy.deepcopy(model.encoder), copy.deepcopy(model.posterior)
        self.head = nn.Linear(model.latent, classes)
        self.requires_grad_(True)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.posterior.code(self.encoder(x)))  # type: ignore[no-any-return]


def examples(trained: TrainedModel, inputs: Inputs, batch_size: int) -> tuple[Tensor, Tensor]:
    """All x (N, *S) and labels (N,), on the model's device."""
    parts = list[tuple[Tensor, Tensor]]()
    for batch in inputs.batches(batch_size, trained.device, "Examples for the classifier"):
        if None in batch.labels:
            raise NotDefined("the data have no labels, from which a classifier learns.")
        parts.append((batch.pair.x, batch.pair.y))
    x, y = zip(*parts, strict=True)
    return torch.cat(x), torch.cat(y)


def learn(classifier: Classifier, x: Tensor, y: Tensor) -> None:
    """Minimise the cross-entropy."""
    optimizer = Adam(classifier.parameters(), lr=LR, fused=True)
    schedule = CosineAnnealingLR(optimizer, STEPS)
    for rows in islice(batches(len(x)), STEPS):
        optimizer.zero_grad(set_to_none=True)
        F.cross_entropy(classifier(x[rows]), y[rows]).backward()
        optimizer.step()
        schedule.step()


def batches(n: int) -> Iterator[Tensor]:
    """Rows of n examples, epoch after epoch, each in an order of its own."""
    while True:
        yield from torch.randperm(n).split(BATCH)
