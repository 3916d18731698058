"""Encoding and reconstructing one's own data, against loops by hand over the same batches."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from ae_lightning.cli.reconstruct import reconstruct as command
from ae_lightning.inference.codes import each_code
from ae_lightning.inference.inputs import Inputs, open_inputs
from ae_lightning.inference.reconstructions import each_reconstruction
from ae_lightning.inference.trained import TrainedModel, load
from ae_lightning.nn import ConvDecoder, ConvEncoder
from ae_lightning.systems import VariationalAutoEncoder
from ae_lightning.training.allocator import keep_freed_memory
from helpers.training import fit

from .measure import Case, Goal, alternate, seconds_per_call
from .parts import pair
from .product import run_apart

BATCH, WORKERS = 256, 2
FEW, MANY = 5_000, 50_000
PEAK = """
import resource, sys
from ae_lightning.cli.main import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""

Batches = Callable[[], Iterator[Tensor]]


def model_for(shape: tuple[int, ...]) -> TrainedModel:
    """A variational autoencoder as it is shipped: of layers for 28², convolutional beyond."""
    parts = {} if shape[1] == 28 else {"encoder": ConvEncoder(), "decoder": ConvDecoder()}
    model = VariationalAutoEncoder(shape, 16, **parts).eval().requires_grad_(False)
    return TrainedModel(model, Path("bench"), None, {}, 0)


class Files:
    """Image files as a data set by hand."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> np.ndarray:
        with Image.open(self.paths[row]) as image:
            return np.asarray(image.convert("L"))[None]


def read(paths: list[Path]) -> Iterator[Tensor]:
    """Batches of bytes from files, read ahead by as many workers as ours."""
    collate = lambda images: torch.from_numpy(np.stack(images))  # noqa: E731
    yield from DataLoader(Files(paths), BATCH, num_workers=WORKERS, collate_fn=collate)


def write_files(folder: Path, n: int) -> None:
    """Write so many images of 28², of which a thousand differ."""
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (min(n, 1000), 28, 28), np.uint8)
    for place in range(n):
        file = folder / f"{place:05}.png"
        if place < len(images):
            Image.fromarray(images[place]).save(file)
        else:
            os.link(folder / f"{place % len(images):05}.png", file)


@contextmanager
def cases() -> Iterator[dict[str, tuple[TrainedModel, Inputs, Batches]]]:
    """By name: a model, its inputs as the commands open them, and the same batches by hand."""
    with tempfile.TemporaryDirectory() as folder:
        found = {}
        for name, shape, n in (("28²", (1, 28, 28), 10_000), ("64²", (3, 64, 64), 1_000)):
            x = torch.randint(256, (n, *shape), dtype=torch.uint8)
            file = Path(folder, f"{shape[1]}.npy")
            np.save(file, x.numpy())
            trained = model_for(shape)
            found[name] = trained, open_inputs(trained, [str(file)]), partial(batches_of, x)
        files = Path(folder, "images")
        write_files(files, 4_000)
        trained, paths = model_for((1, 28, 28)), sorted(files.iterdir())
        found["a folder"] = trained, open_inputs(trained, [str(files)]), partial(read, paths)
        yield found


def batches_of(x: Tensor) -> Iterator[Tensor]:
    yield from x.split(BATCH)


@torch.no_grad()
def encode_by_hand(trained: TrainedModel, batches: Batches) -> None:
    for x in batches():
        mu, log_sigma = trained.model.encoder(x / 255).chunk(2, 1)
        mu.numpy(), log_sigma.exp().numpy()


@torch.no_grad()
def reconstruct_by_hand(trained: TrainedModel, batches: Batches) -> None:
    for x in batches():
        x = x / 255
        mu, _ = trained.model.encoder(x).chunk(2, 1)
        x.numpy(), trained.model.decoder(mu).clamp(0, 1).numpy()


def spent(work: Callable[[], object], out: Path | None = None) -> Callable[[], float]:
    """A cost: the seconds of one call; the folder that it writes is new every time."""

    def cost() -> float:
        if out is not None:
            shutil.rmtree(out, ignore_errors=True)
        return seconds_per_call(work, 1)()

    return cost


def drained(each: Callable[[TrainedModel, Inputs], Iterator[object]], *of: object) -> None:
    for _ in each(*of):  # type: ignore[arg-type]
        pass


def speed(name: str, title: str, ours: Callable, by_hand: Callable) -> Goal:
    keep_freed_memory()
    goal = Goal(name, title)
    with cases() as known:
        for case, (trained, inputs, batches) in known.items():
            costs = {
                "hand": spent(partial(by_hand, trained, batches)),
                "ours": spent(partial(drained, ours, trained, inputs)),
            }
            rounds = alternate(costs)
            ratios = rounds.ratios("hand", "ours")
            goal.cases.append(Case(case, ratios, 0.9, foreign=rounds.foreign))
    return goal


def encode() -> Goal:
    """Codes and their spread, batch by batch."""
    return speed("encode", "a loop by hand / encode", each_code, encode_by_hand)


def reconstruct() -> Goal:
    """Reconstructions, batch by batch; and the command as a whole, which reads and writes files."""
    title = "a loop by hand / reconstruct"
    goal = speed("reconstruct", title, each_reconstruction, reconstruct_by_hand)
    with tempfile.TemporaryDirectory() as name, redirect_stdout(StringIO()):
        folder = Path(name)
        trained_file(folder / "m.ckpt")
        write_files(folder / "images", 4_000)
        given = folder / "m.ckpt", folder / "images"
        ours = partial(command, given[0], str(given[1]), out=(out := folder / "out"))
        hand = partial(written_by_hand, *given, out)
        rounds = alternate({"hand": spent(hand, out), "ours": spent(ours, out)})
    ratios = rounds.ratios("hand", "ours")
    goal.cases.append(Case("a folder, written to files", ratios, 0.9, foreign=rounds.foreign))
    return goal


@torch.no_grad()
def written_by_hand(model: Path, folder: Path, out: Path) -> None:
    """Load a model, reconstruct a folder, and write each image under its name."""
    trained, paths = load(model), sorted(folder.rglob("*.png"))
    out.mkdir()
    names = iter(paths)
    for x in read(paths):
        mu, _ = trained.model.encoder(x / 255).chunk(2, 1)
        r = trained.model.decoder(mu).clamp(0, 1)
        for image in r.mul(255).round().byte().numpy():
            Image.fromarray(image[0]).save(out / next(names).name)


def memory() -> Goal:
    """The peak of 50,000 images in a folder, in that of 5,000; once each, as it does not vary."""
    goal = Goal("memory", f"peak memory, {MANY:,} files / {FEW:,}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = folder / "m.ckpt"
        trained_file(model)
        for n in (FEW, MANY):
            write_files(folder / str(n), n)
        for command, out in (("encode", "codes.csv"), ("reconstruct", "copies")):
            few, many = (
                peak(command, str(model), str(folder / str(n)), "--out", str(folder / f"{n}-{out}"))
                for n in (FEW, MANY)
            )
            goal.cases.append(Case(command, [many / few], 1.1, at_most=True))
    return goal


def trained_file(path: Path) -> None:
    """A checkpoint, after one step, of a model that takes images of 28²."""
    model = VariationalAutoEncoder((1, 28, 28), 16)
    fit(model, [pair()], max_steps=1).save_checkpoint(path)


def peak(*arguments: str) -> float:
    """The most memory that a command holds, in KiB; its workers' is not counted."""
    return float(run_apart(["-c", PEAK, *arguments]).split()[-1])
