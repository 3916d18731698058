"""The base of all data: splits held in memory, whole batches by index, corrupted on the device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final
from weakref import WeakSet

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from ae_lightning.core.distributed import rank_and_world
from ae_lightning.core.errors import UsageError, nearest
from ae_lightning.core.parts import Recorded
from ae_lightning.core.randomness import generator_of, seed_of
from ae_lightning.core.types import Pair
from ae_lightning.corruptions import Clean, Corruption, corrupt_by_index

from .loading.batches import (
    Batch,
    Batches,
    Draw,
    EvaluationDraws,
    Examples,
    Loader,
    Position,
    SharedDraws,
    TrainingDraws,
)
from .loading.regrid import Grid, Regrid

# Keep the draws for one key apart from each other, and from the model's.
CORRUPTION: Final = 1
CLEAN: Final = 2
SPLIT: Final = 3

CPU: Final = torch.device("cpu")


class PairDataModule(Recorded, LightningDataModule, ABC):
    """Images or vectors as pairs of corrupted and clean inputs, in three fixed splits.

    A subclass names its shape and reads its splits; the rest is done here. Training batches
    are corrupted afresh at every draw, by a function of (seed, epoch, batch, rank); those of
    validation and test by a function of (split_seed, example), whatever the batch size.

    Args:
        batch_size: examples per batch and process.
        corruption: makes x̃ of x; none, if None.
        val_size: how many training examples are set aside for validation where the data has no
            validation set of its own, and as many for testing; a tenth, at most 5,000, if None.
        seed: what the training order and the training corruption are functions of.
        split_seed: what the train/validation split and the evaluation corruption are functions of.

    Raises:
        UsageError: where batch_size or val_size is below 1, or a seed is negative.
    """

    def __init__(
        self,
        batch_size: int = 128,
        corruption: Corruption | None = None,
        val_size: int | None = None,
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        super().__init__()
        at_least("batch_size", batch_size, 1)
        at_least("val_size", 1 if val_size is None else val_size, 1)
        at_least("seed", seed, 0)
        at_least("split_seed", split_seed, 0)
        self.batch_size, self.val_size = batch_size, val_size
        self.corruption = Clean() if corruption is None else corruption
        self.seed, self.split_seed = seed, split_seed
        self.preparation: Corruption = Clean()  # makes the clean x of the stored values
        self.sets: dict[str, Examples] = {}
        self.grid: Grid | None = None  # where it is not the one that training began on
        self._open: WeakSet[Batches] = WeakSet()
        self.save_hyperparameters(self.record, logger=False)

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """An example's shape S, known from as little reading as it takes."""

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The smallest and largest value that an element can have; None where unbounded."""
        return (0.0, 1.0)

    @abstractmethod
    def read(self) -> Mapping[str, Examples]:
        """Return "train" and, where the data comes with them, "test" and "val"."""

    # -------------------------------------------------------------------- splits

    def setup(self, stage: str | None = None) -> None:
        """Load and split the data, once.

        Raises:
            UsageError: where a split would be empty, and whatever `read` raises.
        """
        if self.sets:
            return
        if self.trainer is None:  # a trainer has done so already, once per machine
            self.prepare_data()
        sets = dict(self.read())
        for name, examples in sets.items():
            if len(examples) == 0:
                raise UsageError(f"{type(self).__name__} has no {name} examples: the set is empty.")
        for name in ("test", "val"):
            if name not in sets:
                sets["train"], sets[name] = self._split(sets["train"])
        self.sets = sets

    def _split(self, examples: Examples) -> tuple[Examples, Examples]:
        n = len(examples)
        size = min(-(-n // 10), 5000) if self.val_size is None else self.val_size
        if size >= n:
            raise UsageError(f"val_size is {size}, and there are {n} training examples for it.")
        order = torch.randperm(n, generator=generator_of(self.split_seed, 0, 0, 0, SPLIT))
        return examples.select(order[: n - size]), examples.select(order[n - size :])

    def pairs(self, split: str, index: Sequence[int]) -> Pair:
        """Return fixed evaluation pairs of the named split, on the CPU, by place in that split.

        Raises:
            UsageError: where there is no such split or place.
        """
        self.setup()
        if split not in self.sets:
            raise UsageError(f"there is no split {split!r}: {nearest(split, list(self.sets))}")
        examples, rows = self.sets[split], torch.as_tensor(list(index), dtype=torch.long)
        outside = rows[(rows < 0) | (rows >= len(examples))]
        if len(outside):
            raise UsageError(f"{split} has the places 0 to {len(examples) - 1}, not {outside[0]}.")
        return self._pair(examples[Draw(None, rows)].to(CPU))

    # ------------------------------------------------------------------- loaders

    def train_dataloader(self) -> Loader:
        self._near("train")
        return self._loader("train", self.training_draws())

    def training_draws(self) -> TrainingDraws:
        """Which examples make the training batches."""
        self.setup()
        examples, size = self.sets["train"], self.batch_size
        return TrainingDraws(len(examples), size, self.seed, self._position, examples.order)

    def val_dataloader(self) -> Loader:
        return self._evaluation_loader("val")

    def test_dataloader(self) -> Loader:
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> Loader:
        return self._evaluation_loader("test")

    def _evaluation_loader(self, split: str) -> Loader:
        n = len(self._near(split))
        return self._loader(split, EvaluationDraws(n, self.batch_size))

    def _loader(self, split: str, draws: SharedDraws) -> Loader:
        batches = self.sets[split].batches(draws)
        self._open.add(batches)
        return Loader(batches, draws, self._finish)

    def teardown(self, stage: str) -> None:
        for batches in list(self._open):
            batches.release()

    def on_exception(self, exception: BaseException) -> None:
        self.teardown("fit")

    @property
    def _device(self) -> torch.device:
        return CPU if self.trainer is None else self.trainer.strategy.root_device

    def _near(self, split: str) -> Examples:
        self.setup()
        self.sets[split] = self.sets[split].near(self._device)
        return self.sets[split]

    def _position(self) -> Position:
        if self.trainer is None or not self.trainer.training:
            return Position(0, 0)
        overfit = self.trainer.overfit_batches  # type: ignore[attr-defined]
        epoch, grid = self.trainer.current_epoch, self.grid
        done = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        first = grid.first if grid is not None and grid.epoch == epoch else 0
        return Position(0 if overfit else epoch, done, first)

    # ---------------------------------------------------------------- checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Return what the order of examples was cut into, which other processes may cut anew."""
        if "train" not in self.sets:
            return {}
        return (self.grid or self._present_grid())._asdict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on behind the examples that were seen, also on another number of processes."""
        former, present = Grid(**state_dict), self._present_grid()
        if former[:2] == present[:2]:
            self.grid = former
        elif self.trainer is not None:
            self.trainer.callbacks.append(Regrid(self, former))  # type: ignore[attr-defined]

    def _present_grid(self) -> Grid:
        return Grid(rank_and_world()[1], self.training_draws().global_batch)

    # --------------------------------------------------------------------- pairs

    def _finish(self, batch: Batch) -> Pair:
        return self._pair(batch.to(self._device))

    def _pair(self, batch: Batch) -> Pair:
        """Make the clean x of what is stored, and x̃ of x, on the batch's device."""
        x = batch.x / 255 if batch.x.dtype == torch.uint8 else batch.x
        if self.trainer is not None:
            x = self.trainer.precision_plugin.convert_input(x)
        x = self._drawn(self.preparation, x, batch, CLEAN)
        x_tilde = self._drawn(self.corruption, x, batch, CORRUPTION)
        return Pair(x_tilde, x, batch.y, batch.places)

    def _drawn(self, process: Corruption, x: Tensor, batch: Batch, purpose: int) -> Tensor:
        if not process.random:
            return process(x)  # type: ignore[no-any-return]
        if batch.key is None:
            return corrupt_by_index(process, x, seed_of(self.split_seed, purpose), batch.places)
        return process(x, generator_of(*batch.key, purpose, device=x.device))  # type: ignore[no-any-return]


def at_least(name: str, value: float, least: float) -> None:
    """Refuse an argument below its least value."""
    if not value >= least:
        raise UsageError(f"{name} is {value}: expected at least {least}.")
