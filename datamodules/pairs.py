"""The base of all data: three splits, whole batches by rows, corrupted on the device."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final, Literal
from weakref import WeakSet

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from ae_lightning.core.addresses import is_remote, require_named
from ae_lightning.core.distributed import rank_and_world
from ae_lightning.core.errors import UsageError, above, at_least
from ae_lightning.core.files import path_of
from ae_lightning.core.fingerprints import Fingerprint, changes
from ae_lightning.core.parts import Recorded
from ae_lightning.core.randomness import generator_of, seed_of
from ae_lightning.core.types import Pair
from ae_lightning.core.untrusted import conform
from ae_lightning.corruptions import Clean, Corruption, Dequantise, corrupt_by_index

from .loading.batch_loader import BatchLoader
from .loading.batch_samplers import EvaluationSampler, TrainingSampler
from .loading.datasets import BatchDraw, Examples, Named
from .loading.purposes import CLEAN, CORRUPTION, SPLIT
from .loading.regrid import BatchGrid, Regrid, SavedGrid
from .loading.splits import held_out, require_enough, require_split

SPLITS: Final = ("train", "val", "test")
CPU: Final = torch.device("cpu")


class PairDataModule(Recorded, LightningDataModule, ABC):
    """Images or vectors as pairs of corrupted and clean inputs, in three fixed splits.

    A subclass gives its shape and reads its splits; the rest is done here. The corruption of a
    training batch is fresh at every draw, a function of (seed, epoch, batch, rank); that of
    validation and test is a function of (split_seed, split, example), whatever the batch size.

    Args:
        batch_size: examples per batch and process.
        corruption: makes x̃ of x; none, if None.
        val_size: how many training examples to set aside for validation, and as many again for
            testing, if the data has no such split of its own: their number, or below 1 their share;
            a tenth, at most 5,000, if None.
        dequantise: spread the bytes of images over their steps, so that they have a density; a
            training image is spread afresh at every draw. See `metrics.bits_per_dimension`.
        seed: determines the training order and the training corruption.
        split_seed: determines the splits and the evaluation corruption.

    Raises:
        UsageError: if batch_size is below 1, val_size is not positive or a broken number, or a seed
            is negative; or if a checkpoint records an address that is not local, and nothing else
            names it.
    """

    places: ClassVar[tuple[str, ...]] = ("path", "root")  # arguments that name local data
    photographs: ClassVar[bool] = False  # presets then take networks for images
    data_changed: Literal["refuse", "accept"] = "refuse"  # on resuming, than a checkpoint's

    def __init__(
        self,
        batch_size: int = 128,
        corruption: Corruption | None = None,
        val_size: int | float | None = None,
        dequantise: bool = False,
        seed: int = 0,
        split_seed: int = 0,
    ) -> None:
        super().__init__()
        require_named(self.arguments)
        at_least("batch_size", batch_size, 1)
        if val_size is not None and above("val_size", val_size) >= 1 and val_size % 1:
            raise UsageError(
                f"val_size is {val_size}: expected a whole number, or a share below 1."
            )
        at_least("seed", seed, 0)
        at_least("split_seed", split_seed, 0)
        self.batch_size, self.val_size = batch_size, val_size
        self.corruption = Clean() if corruption is None else corruption
        self.seed, self.split_seed = seed, split_seed
        # Makes the clean x of the stored values.
        self.preparation: Corruption = Dequantise() if dequantise else Clean()
        self.sets: dict[str, Examples] = {}
        self.grid: BatchGrid | None = None  # set if it was restored from a checkpoint
        self._loaders: WeakSet[BatchLoader[Pair]] = WeakSet()
        self._record_places()
        self.save_hyperparameters(self.record, logger=False)

    def _record_places(self) -> None:
        """Record where local data lie in full: a checkpoint is used from other folders too."""
        for name in self.places:
            given = self.arguments.get(name)
            if given and isinstance(given, str) and not is_remote(given):
                self.arguments[name] = str(path_of(given, name).absolute())

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """An example's shape S, found by reading as little as possible."""

    @property
    def value_range(self) -> tuple[float, float] | None:
        """The smallest and largest value that an element can have; None if unbounded."""
        return (0.0, 1.0)

    @abstractmethod
    def read(self) -> Mapping[str, Examples]:
        """Return "train" and, if the data comes with them, "test" and "val"."""

    def setup(self, stage: str | None = None) -> None:
        """Load and split the data, once.

        Raises:
            UsageError: if a split would be empty, and whatever `read` raises.
        """
        if self.sets:
            return
        if self.trainer is None:  # a trainer has already done so, once per machine
            self.prepare_data()
        sets = dict(self.read())
        for name, examples in sets.items():
            if len(examples) == 0:
                raise UsageError(f"{type(self).__name__} has no {name} examples: the set is empty.")
        missing = [name for name in ("test", "val") if name not in sets]
        if missing:
            require_enough(len(sets["train"]), missing, type(self).__name__)
        for name in missing:
            sets["train"], sets[name] = self._split(sets["train"])
        self.sets = sets

    def _split(self, examples: Examples) -> tuple[Examples, Examples]:
        n = len(examples)
        size = held_out(n, self.val_size)
        if size >= n:
            raise UsageError(f"val_size is {size}: expected fewer than the {n} training examples.")
        order = torch.randperm(n, generator=generator_of(self.split_seed, 0, 0, 0, SPLIT))
        return examples.select(order[: n - size]), examples.select(order[n - size :])

    @property
    def fingerprint(self) -> Fingerprint | None:
        """What these data are, so that others can be told from them; None if the arguments say."""
        return None

    def require_same(self, former: Fingerprint | None, file: str = "the checkpoint") -> None:
        """Refuse data that differ from those of a checkpoint, unless `data_changed` is "accept".

        Raises:
            UsageError: with what differs.
        """
        if former is None or self.data_changed == "accept" or former == self.fingerprint:
            return
        new = self.fingerprint
        told = "their class" if new is None else "; ".join(changes(former, new))
        raise UsageError(
            f"the data are not those of {file}: {told}. Give those, or add --data_changed accept."
        )

    def pairs(self, split: str, places: Sequence[int]) -> Pair:
        """Return fixed evaluation pairs of the named split, on the CPU, by place in that split.

        Raises:
            UsageError: if there is no such split or place.
        """
        self.setup()
        require_split(split, self.sets)
        examples, rows = self.sets[split], torch.as_tensor(list(places), dtype=torch.long)
        for outside in rows[(rows < 0) | (rows >= len(examples))]:
            raise UsageError(f"{split} has the places 0 to {len(examples) - 1}, not {outside}.")
        return self.pair(split, CPU, *examples.__getitems__(BatchDraw(rows)))

    def named(self, split: str | None = None) -> list[Named]:
        """Return the examples of a split, or all, in an order that stays, each with a name.

        Raises:
            UsageError: if there is no such split.
        """
        self.setup()
        require_split(split, self.sets)
        wanted = [s for s in SPLITS if s in self.sets and split in (None, s)]
        return [Named(s, self.sets[s], partial("{}/{}".format, s), self.label_of) for s in wanted]

    def label_of(self, y: int) -> str | int | None:
        """Return the class of a label, by name or number; None if there are no labels."""
        return y

    def train_dataloader(self) -> BatchLoader[Pair]:
        return self._loader("train", self.training_sampler())

    def training_sampler(self) -> TrainingSampler:
        """Return what draws the training batches of this process."""
        self.setup()
        return TrainingSampler(self.sets["train"], self.batch_size, self.seed, self._position)

    def val_dataloader(self) -> BatchLoader[Pair]:
        return self._evaluation_loader("val")

    def test_dataloader(self) -> BatchLoader[Pair]:
        return self._evaluation_loader("test")

    predict_dataloader = test_dataloader

    def _evaluation_loader(self, split: str) -> BatchLoader[Pair]:
        return self._loader(split, EvaluationSampler(self._near(split), self.batch_size))

    def _loader(
        self, split: str, sampler: TrainingSampler | EvaluationSampler
    ) -> BatchLoader[Pair]:
        examples, finish = self._near(split), partial(self.pair, split, self._device)
        loader = BatchLoader(examples, sampler, finish, examples.workers)
        self._loaders.add(loader)
        return loader

    def teardown(self, stage: str) -> None:
        for loader in list(self._loaders):
            loader.release()

    def on_exception(self, exception: BaseException) -> None:
        self.teardown("fit")

    @property
    def _device(self) -> torch.device:
        return CPU if self.trainer is None else self.trainer.strategy.root_device

    def _near(self, split: str) -> Examples:
        self.setup()
        self.sets[split] = self.sets[split].near(self._device)
        return self.sets[split]

    def _position(self) -> tuple[int, int, int]:
        """Where training stands: see `TrainingSampler`."""
        if self.trainer is None or not self.trainer.training:
            return 0, 0, 0
        overfit = self.trainer.overfit_batches  # type: ignore[attr-defined]
        epoch, grid = self.trainer.current_epoch, self.grid
        done = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        first = grid.first if grid is not None and grid.epoch == epoch else 0
        return 0 if overfit else epoch, done, first

    def state_dict(self) -> dict[str, Any]:
        """Return what the data are, and how the epoch's order is cut into batches, to recut it."""
        if "train" not in self.sets:
            return {}
        return (self.grid or self._present_grid())._asdict() | {"fingerprint": self.fingerprint}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume after the examples already seen, even on another number of processes.

        Raises:
            UsageError: if the data are others.
        """
        if not state_dict:  # saved before any training
            return
        saved = conform(SavedGrid, state_dict, f"the checkpoint's state of {type(self).__name__}")
        self.require_same(saved.get("fingerprint"))
        cut: dict[str, Any] = {name: saved[name] for name in BatchGrid._fields}  # type: ignore[literal-required]
        former, present = BatchGrid(**cut), self._present_grid()
        if former[:2] == present[:2]:
            self.grid = former
        elif self.trainer is not None:
            self.trainer.callbacks.append(Regrid(self, former))  # type: ignore[attr-defined]

    def _present_grid(self) -> BatchGrid:
        return BatchGrid(rank_and_world()[1], self.training_sampler().global_batch)

    def pair(
        self,
        split: str,
        device: torch.device,
        stored: Tensor,
        y: Tensor,
        draw: BatchDraw,
        corrupted: bool = True,
    ) -> Pair:
        """Make the clean x of what is stored, and x̃ of x unless it is to be x, on the device."""
        background = device.type == "cuda"  # any other copy could be read before it is complete
        x = stored.to(device, non_blocking=background)
        y, draw = y.to(device, non_blocking=background), draw.to(device)
        if x.dtype == torch.uint8:
            # A number of Python's would be multiplied by its reciprocal on a GPU: another last bit.
            x = x / torch.full((), 255.0, device=x.device)
        elif isinstance(self.preparation, Dequantise):
            raise UsageError(f"{type(self).__name__} stores no bytes: drop dequantise.")
        if self.trainer is not None:
            x = self.trainer.precision_plugin.convert_input(x)
        x = self._drawn(self.preparation, x, draw, split, CLEAN)
        x_tilde = self._drawn(self.corruption, x, draw, split, CORRUPTION) if corrupted else x
        return Pair(x_tilde, x, y, draw.rows if draw.counts else torch.full_like(draw.rows, -1))

    def _drawn(
        self, process: Corruption, x: Tensor, draw: BatchDraw, split: str, purpose: int
    ) -> Tensor:
        if not process.random:
            return process(x)  # type: ignore[no-any-return]
        if draw.key is None:
            seed = seed_of(self.split_seed, SPLITS.index(split), purpose)
            return corrupt_by_index(process, x, seed, draw.rows)
        return process(x, generator_of(*draw.key, purpose, device=x.device))  # type: ignore[no-any-return]
