"""A model and examples in memory, as what measures them takes them."""

from pathlib import Path

import torch
from torch import Tensor

from ae_lightning.datamodules import InMemory, PairDataModule
from ae_lightning.inference.inputs import Inputs
from ae_lightning.inference.measures.figures import Figure
from ae_lightning.inference.trained import TrainedModel
from ae_lightning.model import Model


class Given(PairDataModule):
    """Examples that are given by `inputs_of`."""

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.sets["test"][torch.tensor([0])][0].shape[1:])

    def read(self) -> dict[str, InMemory]:
        raise AssertionError


def trained_of(model: Model) -> TrainedModel:
    return TrainedModel(model.eval().requires_grad_(False), Path("a.ckpt"), None, {}, 0)


def inputs_of(
    x: Tensor,
    y: Tensor | None = None,
    train: tuple[Tensor, Tensor] | None = None,
    **options: bool,
) -> Inputs:
    """The examples x, of the split test."""
    data = Given(**options)
    test = InMemory(x, torch.zeros(len(x), dtype=torch.long) if y is None else y)
    data.sets = {"train": InMemory(*train) if train else test, "test": test}
    return Inputs(data, data.named("test"))


def by_name(figures: list[Figure]) -> dict[str, Figure]:
    found = {figure.name: figure for figure in figures}
    assert len(found) == len(figures)
    return found
