"""The residual pair beside the plain convolutional one: the tables of docs/networks.md."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, stdev
from typing import Final

import torch
from lightning.pytorch import Trainer

from ae_lightning.core.randomness import generator_of
from ae_lightning.core.types import Pair
from ae_lightning.datamodules import CIFAR10, ImageFolder, PairDataModule
from ae_lightning.likelihoods import Gaussian
from ae_lightning.nn import ConvDecoder, ConvEncoder, Network, ResidualDecoder, ResidualEncoder
from ae_lightning.systems import VariationalAutoEncoder
from ae_lightning.training.allocator import keep_freed_memory
from helpers.training import QUIET

from .product import run_apart

LATENT: Final = 128

# --------------------------------------------------------- at equal steps and equal time

SEEDS: Final = (0, 1, 2)
BATCH: Final = 64
STEPS: Final = 150  # of both pairs, in the comparison at equal steps: 9,600 images
TESTED: Final = 2_000  # test images, drawn at random


def photographs() -> PairDataModule:
    """CIFAR-10, from the folder of JPEG files `cifar10-jpeg` if AE_DATA has one."""
    folder = Path(os.environ.get("AE_DATA", "data"), "cifar10-jpeg")
    if folder.is_dir():
        return ImageFolder(str(folder), batch_size=BATCH, num_workers=0)
    return CIFAR10(batch_size=BATCH)


@dataclass
class Trained:
    """What a training cost, and what the test images say of it."""

    cpu: float  # seconds
    psnr: float  # dB
    elbo: float  # nats


def train(kind: str, data: PairDataModule, steps: int, seed: int) -> Trained:
    """Train a variational autoencoder by the recipe that is shipped, and test it."""
    torch.manual_seed(seed)
    data.seed = seed
    encoder, decoder = KINDS[kind]()
    likelihood = Gaussian(0.25, learned=True)
    model = VariationalAutoEncoder(
        data.shape, LATENT, encoder=encoder, decoder=decoder, likelihood=likelihood, seed=seed
    )
    bare = {**QUIET, "limit_val_batches": 0, "num_sanity_val_steps": 0}
    trainer = Trainer(max_steps=steps, max_epochs=-1, **bare)
    start = time.process_time()
    trainer.fit(model, data)
    cpu = time.process_time() - start
    (found,) = trainer.test(model, data, verbose=False)
    return Trained(cpu, found["test/psnr"], found["test/elbo"])


def spread(values: list[float], digits: int) -> str:
    return f"{mean(values):,.{digits}f} ± {stdev(values):.{digits}f}"


def row(kind: str, steps: int, runs: list[Trained]) -> str:
    figures = [
        spread([run.cpu for run in runs], 0),
        spread([run.psnr for run in runs], 2),
        spread([run.elbo for run in runs], 0),
    ]
    return table_row(f"`{kind}`", f"{steps:,}", *figures)


def table_row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def photos() -> str:
    """Equal steps, and equal CPU time: the plain pair then takes more steps.

    How many more, the first two trainings say. All train on one thread.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    data = photographs()
    data.setup()
    test = data.sets["test"]
    data.sets["test"] = test.select(torch.randperm(len(test), generator=generator_of(0))[:TESTED])
    runs: dict[tuple[str, int], list[Trained]] = {}
    for seed in SEEDS:
        short = train("conv", data, STEPS, seed)
        long = train("resnet", data, STEPS, seed)
        if not runs:
            more = round(STEPS * long.cpu / short.cpu)
        runs.setdefault(("conv", STEPS), []).append(short)
        runs.setdefault(("resnet", STEPS), []).append(long)
        runs.setdefault(("conv", more), []).append(train("conv", data, more, seed))
    head = "| networks | steps | CPU seconds | PSNR (dB) | ELBO (nats) |\n|---|---|---|---|---|"
    return "\n".join([head, *(row(*key, found) for key, found in runs.items())])


# ------------------------------------------------------------------------ size and speed

Networks = tuple[Network, Network]
KINDS: Final[dict[str, Callable[[], Networks]]] = {
    "conv": lambda: (ConvEncoder(), ConvDecoder()),
    "resnet": lambda: (ResidualEncoder(), ResidualDecoder()),
    "recompute": lambda: (ResidualEncoder(recompute=True), ResidualDecoder(recompute=True)),
    "spatial": lambda: (ResidualEncoder(spatial=True), ResidualDecoder()),
    "bfloat16": lambda: (ResidualEncoder(), ResidualDecoder()),
}
SIDES: Final = (32, 64, 128, 256)


def resident(name: str) -> float:
    """The memory that this process takes (VmRSS), or took at most (VmHWM), in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def measure(side: int, kind: str) -> tuple[int, float, float]:
    """Parameters, peak memory in MB beyond what the package takes, and CPU seconds a step."""
    before = resident("VmRSS")
    encoder, decoder = KINDS[kind]()
    latent = 256 if kind == "spatial" else LATENT
    model = VariationalAutoEncoder((3, side, side), latent, encoder=encoder, decoder=decoder)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    x = torch.rand(16, 3, side, side)
    pair = Pair(x, x, torch.zeros(16), torch.arange(16))
    seconds = []
    for _ in range(4):
        start = time.process_time()
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if kind == "bfloat16" else nullcontext():
            loss = model.objective(model.propagate(pair))["loss"]
        loss.backward()
        optimizer.step()
        seconds.append(time.process_time() - start)
    size = sum(p.numel() for p in model.parameters())
    return size, resident("VmHWM") - before, median(seconds[1:])


def sizes() -> str:
    """Parameters, peak memory and speed of a training step at batch 16, each measured apart."""
    rows = ["| sides | | parameters | memory | speed |\n|---|---|---|---|---|"]
    for side in map(str, SIDES):
        plain = 0.0
        for kind in KINDS:
            printed = run_apart(["-m", "bench.networks", side, kind], {"OMP_NUM_THREADS": "1"})
            size, memory, seconds = map(float, printed.split())
            plain = plain or seconds  # of the first, `conv`
            speed = f"{plain / seconds:.2f}"
            rows.append(table_row(side, kind, f"{size:,.0f}", f"{memory:,.0f} MB", speed))
    return "\n".join(rows)


if __name__ == "__main__":
    print(*measure(int(sys.argv[1]), sys.argv[2]))
