"""What several processes run, and one process beside them to compare with.

As a script, `python -m helpers.ranks DIRECTORY`, it validates every case on 3 processes, trains
and validates it on 2, and leaves what each rank found in DIRECTORY. Torch is imported once,
and then forked.
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins import DoublePrecision
from torch import Tensor, multiprocessing

from ae_lightning import AutoEncoder, regularizers
from ae_lightning.core.distributed import rank_and_world
from ae_lightning.core.errors import NonFiniteError
from ae_lightning.core.types import ForwardPass
from ae_lightning.corruptions import GaussianNoise
from ae_lightning.training.checkpoint_io import AtomicCheckpointIO
from ae_lightning.training.nonfinite import NonFiniteGuard
from ae_lightning.training.sharding import FullySharded, full, local
from helpers.cases import CASES, RESUMED, SHAPE, vae
from helpers.one_process import (
    EPOCHS,
    GLOBAL,
    STEPS,
    VAL_BATCH,
    Blobs,
    OfOneProcess,
    corruption,
    noise_of_one_process,
)
from helpers.ports import free_port
from helpers.training import quiet_trainer


def trainer_of(directory: Path, **options: Any) -> Trainer:
    world = rank_and_world()[1]
    ours = {
        "strategy": "auto" if world == 1 else "ddp",
        "devices": world,
        "inference_mode": False,
        "plugins": [DoublePrecision(), AtomicCheckpointIO()],
    }
    return quiet_trainer(directory, **ours | options)


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
    trainer = train(model, directory, logger=log, **options)
    assert trainer.global_step == STEPS
    held = sum(p.numel() for p in map(local, model.parameters()))
    weights = {name: full(w) for name, w in model.state_dict().items()}
    return {"losses": log.rows, "weights": weights, "held": held}


def train(
    model: AutoEncoder, directory: Path, checkpoint: Path | None = None, **options: Any
) -> Trainer:
    options = {"max_epochs": EPOCHS, "limit_val_batches": 0, **options}
    trainer = trainer_of(directory, **options)
    data = OfOneProcess(GLOBAL // rank_and_world()[1], corruption())
    with noise_of_one_process():
        trainer.fit(model, data, ckpt_path=checkpoint, weights_only=True)
    return trainer


def resumed(case: str, directory: Path) -> dict[str, Tensor]:
    """The weights of a sharded training that went on from its middle."""
    file = directory / "middle.ckpt"
    begun = train(CASES[case](), directory, max_epochs=1, strategy=FullySharded())
    begun.save_checkpoint(file)
    model = CASES[case]()
    train(model, directory, file, strategy=FullySharded())
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


class NoWeights:
    """An optimizer without parameters."""

    param_groups: tuple[()] = ()


def guarded() -> str | None:
    """What the guard says of a loss that is finite on the first rank alone."""
    guard = NonFiniteGuard()
    guard.note({"loss": torch.tensor(2.0), "rate": torch.tensor(1.0)})
    guard.check(Place, NoWeights, scaled=False)  # all is well on every rank
    bad = torch.tensor(math.nan if rank_and_world()[0] else 1.0)
    guard.note({"loss": bad, "rate": bad})
    try:
        guard.check(Place, NoWeights, scaled=False)
    except NonFiniteError as error:
        return str(error)
    return None


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
