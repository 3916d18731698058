"""Whatever a stranger may write into a config, a checkpoint or a folder of chunks, at random."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from untrusted.mutations import mutate, write

from ae_lightning.cli.main import main
from helpers.apart import CONTEXT
from helpers.attack import command, harmless
from helpers.images import write_images
from soak.experiment import Failed

CASES, SECONDS, PATIENCE = 1_000, 60.0, 60.0  # at least so many cases, for at least so long
FAULT = r"(?m)^(ae-lightning: )?unexpected|Traceback"  # YAML itself finds an unexpected end
TINY = (
    *("--data.size", "60", "--data.val_size", "10", "--data.batch_size", "25"),
    *("--model.encoder.widths", "[4]", "--model.decoder.widths", "[4]", "--model.latent", "2"),
    *("--trainer.max_epochs", "1", "--checkpoints.every_n_steps", "1"),
    *("--trainer.callbacks", "ae_lightning.callbacks.Report", "--trainer.callbacks.names", "[]"),
)
FIT = ("fit", "--config", "vae", "--config", "manifold", *TINY)
ONCE = ("--trainer.fast_dev_run", "true")
ROUND = settings(
    max_examples=25,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
Case = tuple[str, list[str]]  # what was changed, and the command that meets it


class Victim:
    """A process that runs commands on a stranger's files; if one kills it, that is seen."""

    def __init__(self, folder: Path) -> None:
        self.pipe, other = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=suffer, args=(other, folder), daemon=True)
        self.process.start()
        other.close()

    def run(self, arguments: list[str]) -> tuple[int, str]:
        """Run a command; return its exit code and what it said, or how the process ended."""
        self.pipe.send(arguments)
        try:
            if not self.pipe.poll(PATIENCE):
                return 1, f"unexpected: it still ran after {PATIENCE:.0f} s"
            answer: tuple[int, str] = self.pipe.recv()
        except EOFError:
            self.process.join()
            return self.process.exitcode or 1, "unexpected: the process died"
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.join()


def suffer(pipe: Any, folder: Path) -> None:
    """Run the commands that come through a pipe, in a folder."""
    torch.set_num_threads(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what Lightning logs
    while True:
        arguments, said = pipe.recv(), StringIO()
        try:
            with redirect_stdout(said), redirect_stderr(said):
                code, watch = command(*arguments, folder=folder)
            if "config.yaml" in arguments:  # a config is code, and may import what it names
                watch.imported.clear()
            harmless(watch, folder, Path(tempfile.gettempdir()) / "cache")
        except BaseException as error:
            code, said = 1, StringIO(f"unexpected {type(error).__name__}: {error}")
        pipe.send((code, said.getvalue()))


def altered(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """Bytes with a few of them flipped, left out, doubled, or put in."""
    names, other = [], bytearray(content)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(other) + 1)
        until = min(len(other), place + draw.randint(0, 20))
        kind = draw.choice(["flipped", "left out", "doubled", "put in"])
        names.append(f"bytes {place} to {until} {kind}")
        if kind == "flipped":
            other[place:until] = bytes(b ^ draw.randint(1, 255) for b in other[place:until])
        elif kind == "left out":
            del other[place:until]
        elif kind == "doubled":
            other[place:place] = other[place:until]
        else:
            signs = [b"&a ", b"*a", b"<<: ", b"[", b"{", b": ", b"!!int ", b"\n", b"'", b"\0"]
            other[place:place] = draw.choice(signs)
    return ", ".join(names), bytes(other)


def changed(tree: Any, draw: random.Random, most: int) -> tuple[str, Any]:
    """A tree with a few mutations, the last of which may be one that no tree can be walked with."""
    names: list[str] = []
    for _ in range(draw.randint(1, most)):
        name, tree = mutate(tree, draw)
        names.append(name)
        if name.endswith(("looped", "multiplying", "deep")):
            break
    return "; ".join(names), tree


def config(folder: Path, draw: random.Random) -> Case:
    """A run's config, changed, as a config of its own."""
    tree = yaml.safe_load((folder / "good" / "config.yaml").read_text())
    what, other = changed(tree, draw, 3)
    try:
        text = yaml.safe_dump(other).encode()
    except (yaml.YAMLError, RecursionError):  # YAML cannot say that
        what, text = altered(yaml.safe_dump(tree).encode(), draw)
    (folder / "config.yaml").write_bytes(text)
    return what, ["fit", "--config", "config.yaml", *ONCE]


def checkpoint(folder: Path, draw: random.Random) -> Case:
    """A run whose checkpoints hold something else, or whose files are not what they were."""
    run = fresh(folder, "good")
    files = sorted((run / "checkpoints").iterdir())
    if draw.random() < 0.8:
        state = torch.load(files[0], weights_only=True)
        what, other = changed(state, draw, 3)
        write(other, *files)
    else:
        file = draw.choice(sorted(p for p in run.rglob("*") if p.is_file()))
        what, content = altered(file.read_bytes(), draw)
        what = f"{file.name}: {what}"
        file.unlink()
        file.write_bytes(content)
    commands = [
        *(
            ["fit", "--run", "now", "--resume", *longer]
            for longer in ([], ["--trainer.max_epochs=2"])
        ),
        *([name, "--run", "now"] for name in ("validate", "test")),
        ["encode", "now", "--out", "c.npz", "--force"],
        *(["summary", "now"], ["plot", "now", "reconstructions"]),
    ]
    return what, draw.choice(commands)


def chunks(folder: Path, draw: random.Random) -> Case:
    """A folder of chunks whose index, manifest or bytes are not what they were."""
    stream = fresh(folder, "chunks")
    file = draw.choice(sorted(p for p in stream.rglob("*") if p.is_file()))
    what, content = altered(file.read_bytes(), draw)
    if file.suffix == ".json" and draw.random() < 0.8:
        tried, tree = changed(json.loads(file.read_text()), draw, 2)
        if "looped" not in tried and "multiplying" not in tried:  # which JSON cannot say
            what, content = tried, json.dumps(tree, default=str, skipkeys=True).encode()
    file.write_bytes(content)
    data = ["--config", "stream", "--data.path", "now", "--data.cache_dir", "cache"]
    return f"{file.name}: {what}", ["fit", "--config", "vae", *data, "--data.num_workers=0", *ONCE]


def fresh(folder: Path, name: str) -> Path:
    """A copy of a folder, in place of the former one."""
    shutil.rmtree(folder / "now", ignore_errors=True)
    return Path(shutil.copytree(folder / name, folder / "now"))


def prepare(folder: Path) -> None:
    """A run, and a folder of chunks."""
    write_images(folder / "images", {"a": 30, "b": 30})
    with chdir(folder), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        if main([*FIT, "--run", "good"]) or main(["optimize", "images", "chunks"]):
            raise Failed("there is nothing to attack")


def mutated(make: Callable[[Path, random.Random], Case]) -> Iterator[str]:
    """Throw mutations at a command for a minute; each is refused in a sentence, or does no harm."""
    first = int(os.environ.get("SOAK_SEED", random.randrange(10**6)))
    codes: dict[int, int] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        victim, began = Victim(folder), time.monotonic()

        def attack(draw: random.Random) -> None:
            what, arguments = make(folder, draw)
            code, said = victim.run(arguments)
            codes[code] = codes.get(code, 0) + 1
            if code not in (0, 1, 2) or re.search(FAULT, said):
                text = f"{what}: {' '.join(arguments)}: exit code {code}: {said[-600:]}"
                raise Failed(text)

        rounds = 0
        while sum(codes.values()) < CASES or time.monotonic() - began < SECONDS:
            drawn = given(st.randoms(use_true_random=False))(lambda draw: attack(draw))
            seed(first + rounds)(ROUND(drawn))()
            rounds += 1
        victim.close()
    ends = ", ".join(f"{n} with {code}" for code, n in sorted(codes.items()))
    seconds = time.monotonic() - began
    yield f"SOAK_SEED={first}: {sum(codes.values()):,} in {seconds:.0f} s: {ends}; none unexpected"


EXPERIMENTS = {
    "mutated-configs": lambda: mutated(config),
    "mutated-checkpoints": lambda: mutated(checkpoint),
    "mutated-chunks": lambda: mutated(chunks),
}
