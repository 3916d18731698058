"""What several processes run, and one process beside them to compare with.

As a script, `ranks.py DIRECTORY`, it validates every case on 3 processes, trains and validates it
on 2, and leaves what each rank found in DIRECTORY. Torch is imported once, and then forked.
"""

from __future__ import annotations

import math
import os
import socket
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins import DoublePrecision
from torch import Tensor, multiprocessing
from torch.optim import SGD
from torch.utils._python_dispatch import TorchDispatchMode

from ae_lightning import (
    AutoEncoder,
    autoencoder,
    likelihoods,
    priors,
    regularizers,
    schedules,
    systems,
)
from ae_lightning.core.distributed import rank_and_world
from ae_lightning.core.errors import NonFiniteError
from ae_lightning.core.randomness import seed_of
from ae_lightning.core.types import ForwardPass
from ae_lightning.corruptions import Compose, Corruption, GaussianNoise, Masking, corrupt_by_index
from ae_lightning.datamodules import InMemory, PairDataModule
from ae_lightning.datamodules.loading.datasets import BatchDraw
from ae_lightning.nn import MLP, ConvDecoder, ConvEncoder, Sigmoid, TopK, UnitVariance
from ae_lightning.posteriors import Dirac
from ae_lightning.training.checkpoint_io import AtomicCheckpointIO
from ae_lightning.training.nonfinite import NonFiniteGuard
from ae_lightning.training.sharding import FullySharded, full, local

SHAPE, K = (1, 4, 4), 3
TRAIN, VAL = 57, 13  # no multiples of the batches, of 2 or of 3
GLOBAL, VAL_BATCH = 22, 4
EPOCHS, STEPS = 2, 4


def model_of(system: type[AutoEncoder], **parts: Any) -> AutoEncoder:
    """A small model, whose every size differs from the batches': rows are then told by size.

    Its learning rate is the same however long it will be trained.
    """
    torch.manual_seed(0)
    if system not in (systems.LinearAutoEncoder, systems.SparseAutoEncoder):
        parts = {"encoder": MLP(widths=(7,)), **parts}
        if system is not systems.ContractiveAutoEncoder:
            parts = {"decoder": MLP(widths=(7,)), **parts}
    parts = {"lr_schedule": schedules.Constant(), **parts}
    return system(SHAPE, latent=K, optimizer=partial(SGD, lr=0.003, momentum=0.9), **parts)


def vae(**parts: Any) -> AutoEncoder:
    return model_of(systems.VariationalAutoEncoder, **parts)


def penalised(system: type[AutoEncoder], name: str, *args: Any, **options: Any) -> AutoEncoder:
    penalty = getattr(regularizers, name)(*args, **options)
    activation = {"activation": Sigmoid()} if name == "SparsityKL" else {}
    samples = {"samples": 2} if system is systems.VariationalAutoEncoder else {}
    return model_of(system, regularizers={"rate": penalty}, **activation, **samples)


def normalised() -> AutoEncoder:
    torch.manual_seed(0)
    return AutoEncoder(
        *(SHAPE, K, MLP(widths=(7,)), Dirac(UnitVariance()), MLP(widths=(7,))),
        likelihoods.Gaussian(),
        regularizers={"contractive": regularizers.Contractive(0.5)},
        optimizer=partial(SGD, lr=0.003),
        lr_schedule=schedules.Constant(),
    )


def convolutional() -> AutoEncoder:
    return vae(
        encoder=ConvEncoder(channels=(2, 3), hidden=7),
        decoder=ConvDecoder(channels=(3, 2), hidden=7),
    )


SYSTEMS = {
    name: partial(model_of, system)
    for name, system in vars(systems).items()
    if isinstance(system, type)
    and issubclass(system, AutoEncoder)
    and system not in (AutoEncoder, systems.System)
}
SPARSE, CONTRACTIVE = systems.SparseAutoEncoder, systems.ContractiveAutoEncoder
PLAIN, VARIATIONAL = systems.UndercompleteAutoEncoder, systems.VariationalAutoEncoder
RISING = {"start": 0.0, "end": 1.0, "steps": 4}

PENALTIES: dict[str, Callable[[], AutoEncoder]] = {
    "L1": lambda: penalised(VARIATIONAL, "L1", 0.3),
    "L2": lambda: penalised(VARIATIONAL, "L2", 0.3),
    "StudentT": lambda: penalised(VARIATIONAL, "StudentT", 0.3),
    "SparsityKL": lambda: penalised(SPARSE, "SparsityKL"),
    "MMD": lambda: penalised(VARIATIONAL, "MMD", 3.0),
    "MMD, one code": lambda: penalised(PLAIN, "MMD", 3.0),
    "Rate": lambda: penalised(VARIATIONAL, "Rate", schedules.Cosine(0, 4)),
    "Rate, free bits": lambda: penalised(VARIATIONAL, "Rate", free_bits=0.01),
    "Rate, capacity": lambda: penalised(
        VARIATIONAL, "Rate", capacity=schedules.Linear(0, 2, steps=5)
    ),
    "TotalCorrelation": lambda: penalised(VARIATIONAL, "TotalCorrelation", 2.0),
    "Contractive": lambda: penalised(CONTRACTIVE, "Contractive"),
    "Contractive, projected": lambda: penalised(CONTRACTIVE, "Contractive", projections=2),
    "ContractiveHessian": lambda: penalised(CONTRACTIVE, "ContractiveHessian", 0.3),
    "ContractiveHessian, projected": lambda: penalised(
        CONTRACTIVE, "ContractiveHessian", 0.3, projections=2
    ),
    "ReconstructionContractive": lambda: penalised(PLAIN, "ReconstructionContractive", 0.3),
    "ReconstructionContractive, exact": lambda: penalised(
        PLAIN, "ReconstructionContractive", 0.3, projections=None
    ),
    "DecoderNorm": lambda: penalised(PLAIN, "DecoderNorm", 0.1),
    "Orthogonality": lambda: penalised(PLAIN, "Orthogonality", 0.1),
}

PARTS: dict[str, Callable[[], AutoEncoder]] = {
    "HeteroscedasticGaussian": lambda: vae(likelihood=likelihoods.HeteroscedasticGaussian()),
    "Laplace": lambda: vae(likelihood=likelihoods.Laplace(), prior=priors.LaplacePrior()),
    "Bernoulli": lambda: vae(likelihood=likelihoods.Bernoulli()),
    "ContinuousBernoulli": lambda: vae(likelihood=likelihoods.ContinuousBernoulli()),
    "Categorical": lambda: vae(likelihood=likelihoods.Categorical(levels=4)),
    "GaussianMixture": lambda: vae(prior=priors.GaussianMixture(components=4)),
    "VampPrior": lambda: vae(prior=priors.VampPrior(components=4)),
    "convolutions": convolutional,
    "dropout": lambda: model_of(PLAIN, encoder=MLP(widths=(7,), dropout=0.3)),
    "UnitVariance": normalised,
    "TopK": lambda: model_of(SPARSE, activation=TopK(2)),
}

# A learned prior has no gradient while nothing uses it.
RESTING: dict[str, Callable[[], AutoEncoder]] = {
    "a learned prior of weight 0": lambda: vae(
        prior=priors.GaussianMixture(components=4),
        regularizers={"rate": regularizers.Rate(0.0)},
    ),
    "a learned prior, sampled only": lambda: model_of(
        PLAIN,
        prior=priors.GaussianMixture(components=4),
        regularizers={"mmd": regularizers.MMD(3.0)},
    ),
    "a learned prior, used from the second step on": lambda: vae(
        prior=priors.VampPrior(components=4),
        regularizers={"rate": regularizers.Rate(schedules.Linear(**RISING))},
    ),
    "a learned prior, used at every other step": lambda: vae(
        prior=priors.GaussianMixture(components=4),
        regularizers={"rate": regularizers.Rate(schedules.Cyclic(cycles=2, rise=1.0))},
    ),
}

RESUMED = "TotalCorrelation"  # its weight is the same with any number of epochs
CASES = SYSTEMS | PENALTIES | PARTS | RESTING


class Blobs(PairDataModule):
    """Images of random numbers."""

    shape = SHAPE

    def read(self) -> dict[str, InMemory]:
        draw = torch.rand(TRAIN + VAL, *SHAPE, generator=torch.Generator().manual_seed(1))
        x = (draw * 255).byte()
        y = torch.arange(len(x))
        return {name: InMemory(x[s], y[s]) for name, s in SPLITS.items()}


class OfOneProcess(Blobs):
    """The same, with corruption that is a function of (epoch, batch, example) on any rank."""

    def _drawn(self, process: Corruption, x: Tensor, draw: BatchDraw, purpose: int) -> Tensor:
        if draw.key is None or not process.random:
            return super()._drawn(process, x, draw, purpose)
        return corrupt_by_index(process, x, seed_of(*draw.key[:3], purpose), draw.rows)


def corruption() -> Corruption:
    return Compose([GaussianNoise(0.3), Masking(0.2)])


SPLITS = {"train": slice(TRAIN), "val": slice(TRAIN, None), "test": slice(TRAIN, None)}


class RowsOfOneProcess(TorchDispatchMode):
    """Draw the noise of the global batch, and keep of it the rows of this process's shard."""

    def __init__(self, local: int) -> None:
        super().__init__()
        self.local, (self.rank, self.world) = local, rank_and_world()

    def widened(self, value: Any) -> Any:
        if isinstance(value, Tensor) and self.local in value.shape:
            return value.repeat_interleave(self.world, value.shape.index(self.local))
        if isinstance(value, list) and self.local in value:
            return [n * self.world if n == self.local else n for n in value]
        return value

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        wide = [self.widened(value) for value in args]
        drawn = func(*wide, **kwargs)
        if any(w is not value for w, value in zip(wide, args, strict=True)):
            axis = drawn.shape.index(self.local * self.world)
            drawn = drawn.unflatten(axis, (self.local, self.world)).select(axis + 1, self.rank)
        return args[0].copy_(drawn) if func._schema.is_mutable else drawn.contiguous()


@contextmanager
def noise_of_one_process() -> Iterator[None]:
    """Make the noise of all ranks together what one process draws for the whole batch."""
    world = rank_and_world()[1]
    if world == 1:
        yield
        return
    with (
        RowsOfOneProcess(GLOBAL // world),
        patch.object(autoencoder, "seed_of", lambda *key: seed_of(*key[:3], 0)),
    ):
        yield


def trainer_of(directory: Path, **options: Any) -> Trainer:
    world = rank_and_world()[1]
    ours = {
        "strategy": "auto" if world == 1 else "ddp",
        "accelerator": "cpu",
        "logger": False,
        "default_root_dir": directory,
        "plugins": [DoublePrecision(), AtomicCheckpointIO()],
    }
    return Trainer(
        devices=world,
        inference_mode=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **ours | options,
    )


class Witness(regularizers.Regularizer):
    """Note the noise of codes and of inputs, and penalise nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Tensor, Tensor]] = []

    def forward(self, model: AutoEncoder, out: ForwardPass) -> Tensor:
        epsilon = (out.z[0] - out.q.mean) / out.q.variance.sqrt()
        self.seen.append((epsilon.detach(), out.x_tilde - out.x))
        return out.x.new_zeros(())


class Losses(CSVLogger):
    """Keep what is logged of training."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.rows: list[dict[str, float]] = []

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        if "train/loss" in metrics:
            self.rows.append({k: float(v) for k, v in metrics.items() if k != "epoch"})

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


def trained(case: str, directory: Path, **options: Any) -> dict[str, Any]:
    """The losses, and the weights that they end with, of a global batch shared by all ranks."""
    model, log = CASES[case](), Losses(directory)
    trainer = fit(model, directory, logger=log, **options)
    assert trainer.global_step == STEPS
    held = sum(p.numel() for p in map(local, model.parameters()))
    weights = {name: full(w) for name, w in model.state_dict().items()}
    return {"losses": log.rows, "weights": weights, "held": held}


def fit(
    model: AutoEncoder, directory: Path, checkpoint: Path | None = None, **options: Any
) -> Trainer:
    options = {"max_epochs": EPOCHS, "limit_val_batches": 0, "log_every_n_steps": 1, **options}
    trainer = trainer_of(directory, **options)
    data = OfOneProcess(GLOBAL // rank_and_world()[1], corruption())
    with noise_of_one_process():
        trainer.fit(model, data, ckpt_path=checkpoint, weights_only=True)
    return trainer


def resumed(case: str, directory: Path) -> dict[str, Tensor]:
    """The weights of a sharded training that went on from its middle."""
    file = directory / "middle.ckpt"
    begun = fit(CASES[case](), directory, max_epochs=1, strategy=FullySharded())
    begun.save_checkpoint(file)
    model = CASES[case]()
    fit(model, directory, file, strategy=FullySharded())
    return {name: full(w) for name, w in model.state_dict().items()}


def validated(case: str, directory: Path) -> dict[str, float]:
    """The figures of the validation set, as a rank has them."""
    model = CASES[case]().double()
    model.start(torch.rand(GLOBAL, *SHAPE, dtype=torch.float64))
    data = Blobs(VAL_BATCH, corruption())
    [figures] = trainer_of(directory).validate(model, data, verbose=False)
    return dict(figures)


def noise(directory: Path) -> list[tuple[Tensor, Tensor]]:
    """The noise of codes and inputs in two steps, as training draws it."""
    witness = Witness()
    model = vae(regularizers={"witness": witness})
    trainer_of(directory, max_epochs=1, limit_val_batches=0).fit(
        model, Blobs(GLOBAL // rank_and_world()[1], GaussianNoise(0.3))
    )
    return witness.seen


class Place:
    """As much of a module as a sentence asks for."""

    device = torch.device("cpu")

    class trainer:
        checkpoint_callbacks: tuple[()] = ()
        ckpt_path = "a.ckpt"
        global_step = current_epoch = 0

        class fit_loop:
            batch_idx = 0

    @staticmethod
    def named_parameters() -> list[tuple[str, Tensor]]:
        return []


def guarded() -> str | None:
    """What the guard says of a loss that is finite on the first rank alone."""
    guard = NonFiniteGuard()
    guard.note({"loss": torch.tensor(2.0), "rate": torch.tensor(1.0)})
    guard.check(Place, [], scaled=False)  # all is well on every rank
    bad = torch.tensor(math.nan if rank_and_world()[0] else 1.0)
    guard.note({"loss": bad, "rate": bad})
    try:
        guard.check(Place, [], scaled=False)
    except NonFiniteError as error:
        return str(error)
    return None


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def be_rank(rank: int, ports: dict[int, int], directory: Path) -> None:
    """Be one of 3 processes, and then, but for the last, one of 2."""
    warnings.filterwarnings("ignore")
    for world, port in ports.items():
        if rank >= world:
            return
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}
        os.environ |= {"LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
        dist.init_process_group("gloo", rank=rank, world_size=world)
        found: dict[str, Any] = {"val": {c: validated(c, directory) for c in CASES}}
        if world == 2:
            found["noise"] = noise(directory)
            found["guard"] = guarded()
            found["train"] = {c: trained(c, directory) for c in CASES}
            found["sharded"] = {c: trained(c, directory, strategy=FullySharded()) for c in CASES}
            found["resumed"] = resumed(RESUMED, directory)
        dist.destroy_process_group()
        torch.save(found, directory / f"{rank}-of-{world}.pt")


def main(directory: Path) -> int:
    ports = {3: free_port(), 2: free_port()}
    context = multiprocessing.get_context("fork")
    ranks = [context.Process(target=be_rank, args=(r, ports, directory)) for r in range(3)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    return max(abs(process.exitcode or 0) for process in ranks)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
