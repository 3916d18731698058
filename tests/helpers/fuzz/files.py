"""Configs, data and checkpoints that are none, or not those of a command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer

from ae_lightning.core.errors import printable
from helpers.fuzz.spelling import FIT, Case, Spell
from helpers.fuzz.values import CONFIGS


def wrong_configs(random: Random, spell: Spell) -> Iterator[Case]:
    """Config files that are none."""
    said = {
        "penalty.yaml": "regularizers",
        "resume.yaml": "--resume",
        "beside.yaml": "model.latent",
    }
    for name, content in CONFIGS.items():
        Path(name).write_bytes(content)
        yield [*FIT, "--config", name], said.get(name, name)
    for name in ("", "nowhere.yaml", "x" * 300, "a\x00b", ".", "http://x/y.yaml"):
        missing = printable(f"no config {name[:50]}") if name else "config is ''"
        yield [*FIT, "--config", name], missing


def wrong_data(random: Random, spell: Spell) -> Iterator[Case]:
    """Data files that are none, or none for the model."""
    images = np.zeros((30, 8, 8), np.uint8)
    arrays: dict[str, Any] = {
        "integers.npy": images.astype(np.int64),
        "complex.npy": images.astype(complex),
        "nan.npy": np.full((30, 8), np.nan),
        "scalar.npy": np.float32(3),
        "none.npy": images[:0],
        "one.npy": images[:1],
        "text.npy": np.array(["a"]),
        "objects.npy": np.array([{}], dtype=object),
    }
    for name, array in arrays.items():
        np.save(name, array)
    np.savez("names.npz", a=images)
    np.savez("labels.npz", x=images, y=np.zeros(3))
    np.savez("label.npz", x=images, y=np.float32(0))
    np.savez("pairs.npz", x=images, y=np.zeros((30, 2)))
    np.savez("splits.npz", x_train=images, x_test=images[:, 1:])
    torch.save({"x": {"y": 1}}, "nested.pt")
    torch.save(3, "number.pt")
    Path("empty.npy").write_bytes(b"")
    Path("short.npy").write_bytes(Path("images.npy").read_bytes()[:-9])
    Path("text.npz").write_text("hello")
    Path("plain").write_text("hello")
    said = {"one.npy": "at least 3"}
    names = [*arrays, "names.npz", "labels.npz", "label.npz", "pairs.npz", "splits.npz"]
    for name in [*names, "nested.pt", "number.pt", "empty.npy", "short.npy", "text.npz", "plain"]:
        yield [*FIT, "--data.path", name], said.get(name, name)
    for folder in ("nowhere", "images.npy", "empty"):
        Path("empty").mkdir(exist_ok=True)
        yield ["fit", "--config", "vae", "--config", "folder", "--data.path", folder], folder
    for name in ("mnist", "fashion_mnist", "cifar10"):
        data = ["--config", name, "--data.root", "empty", "--data.download", "false"]
        yield ["fit", "--config", "vae", *data], "empty"


def wrong_commands(random: Random, spell: Spell) -> Iterator[Case]:
    """The commands on a checkpoint, without one, with a wrong one, or with options not theirs."""
    good, other = "taken/checkpoints/best.ckpt", "other.ckpt"
    whole = Path(good).read_bytes()
    broken = {
        "cut.ckpt": whole[: len(whole) // 2],
        "flipped.ckpt": whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:],
        "empty.ckpt": b"",
        "text.ckpt": b"hello",
    }
    for name, content in broken.items():
        Path(name).write_bytes(content)
    torch.save({"state_dict": {}}, other)
    torch.save([1], "list.ckpt")
    torch.save(Trainer, "pickled.ckpt")
    files = [*broken, other, "list.ckpt", "pickled.ckpt", "nowhere.ckpt", "taken", "images.npy"]
    for command in ("validate", "test"):
        for name in files:
            yield [command, "--ckpt_path", name], name
        yield [command], "--ckpt_path"
        yield [command, "--run", "empty"], "empty"
        yield [command, "--run", "taken", "--ckpt_path", good], "--ckpt_path"
        yield [command, "--ckpt_path", good, "--data.path", "odd.npy"], good
        yield [command, "--ckpt_path", good, "--model.latent", "3"], good
        yield [command, "--ckpt_path", good, "--model.ltent", "3"], "ltent"
        yield [command, "--ckpt_path", good, "--resume"], "--resume"
        yield [command, "--ckpt_path", good, "--trainer.devices", "0"], "devices"
    for name in files[:-2]:
        yield ["plot", name], name
    yield ["plot"], "checkpoint"
    yield ["plot", good, "nonesuch"], "nonesuch"
    yield ["plot", good, "--data", "nonesuch"], "nonesuch"
    yield ["plot", good, "--out"], "out"
    yield ["plot", good, "--oot", "x"], "--oot"
    yield ["plot", good, "codes", "--out", "images.npy/x"], "images.npy/x"
    yield ["summary"], "run"
    yield ["summary", "empty"], "empty"
    yield ["summary", "taken", "more"], "more"
    yield ["configs", "more"], "more"
    yield ["configs", "rate", "more"], "more"
    yield ["theory", "nonesuch"], "nonesuch"
    yield ["optimize"], "optimize"
    yield ["optimize", "nowhere", "out"], "nowhere"
    yield ["optimize", "images.npy", "out"], "images.npy"
    yield ["optimize", "empty", "out", "--resize", "x"], "resize"
