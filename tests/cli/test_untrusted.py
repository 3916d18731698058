"""A checkpoint from a stranger, or a damaged one, is refused by every command that takes one."""

from __future__ import annotations

import inspect
import os
import pickle
import shutil
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from ae_lightning import AutoEncoder, UsageError
from ae_lightning.cli.main import PLAIN_COMMANDS, TRAINER_COMMANDS, main
from ae_lightning.training import run_directory
from ae_lightning.training.checkpoint_io import AtomicCheckpointIO

# How each command is given a checkpoint: as a file, or in a run's directory. A new command, or a
# new path that a command takes, has to be entered here.
WAYS: dict[str, list[list[str]]] = {
    "fit": [["--run", "run", "--resume"]],
    "validate": [["--ckpt_path", "alone.ckpt"], ["--run", "run"]],
    "test": [["--ckpt_path", "alone.ckpt"], ["--run", "run"]],
    "summary": [["run"]],
    "plot": [["alone.ckpt"], ["run"]],
    "encode": [["alone.ckpt", "--out", "codes.npz"], ["run", "--out", "codes.npz"]],
    "reconstruct": [["run", "--out", "all.npy"]],
    "denoise": [["run", "--out", "all.npy"]],
    "sample": [["run", "--out", "all.npy"]],
    "traverse": [["alone.ckpt", "--out", "walk.png"]],
    "interpolate": [["run", "test/0", "test/1", "--out", "walk.png"]],
    "explore": [["alone.ckpt"]],
    "detect": [["run", "--calibrate", "manifold", "--out", "scores.csv"]],
    "evaluate": [["alone.ckpt", "--only", "sparsity"], ["run", "--only", "sparsity", "--json"]],
    "compare": [["alone.ckpt"], ["run", "--to", "csv"]],
    "export": [["run", "--out", "out", "--to", "safetensors"]],
    "push": [["alone.ckpt", "ada/digits"]],
    "pull": [],  # which takes no checkpoint: see tests/inference/test_hub.py
    "configs": [],
    "optimize": [],
    "theory": [],
    "completion": [],
}
USERS = (
    *("encode", "reconstruct", "denoise", "sample", "traverse", "interpolate", "explore"),
    *("detect", "evaluate", "export", "push"),
)
WRITERS = (
    *("encode", "reconstruct", "denoise", "sample", "traverse", "interpolate", "detect"),
    *("export", "pull", "plot", "optimize"),
)
PATHS = {
    *("summary.run", "plot.checkpoint"),  # the others are read or written as other things
    *(f"{command}.model" for command in USERS),
    *(f"{command}.out" for command in WRITERS),
    *("detect.against", "detect.page", "detect.maps", "optimize.folder", "theory.report"),
}
EVERY_WAY = [(command, *way) for command, ways in WAYS.items() for way in ways]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps, without pictures."""
    run = tmp_path_factory.mktemp("good") / "run"
    plain = ["--trainer.callbacks", "ae_lightning.callbacks.Report", "--trainer.callbacks.names"]
    small = ["--data.size", "300", "--data.val_size", "20"]
    short = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2"]
    args = ["--config", "vae", "--config", "manifold", *plain, "[]", *small, *short]
    assert main(["fit", *args, "--checkpoints.every_n_steps", "1", "--run", str(run)]) == 0
    assert len(run_directory.states(run)) == 2
    return run


@pytest.fixture
def here(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a copy of the run, and of its best checkpoint alone."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(good, "run")
    shutil.copy(good / "checkpoints" / run_directory.BEST, "alone.ckpt")
    return tmp_path


def checkpoints() -> list[Path]:
    """All that a command could be given."""
    return [Path("alone.ckpt"), *Path("run/checkpoints").iterdir()]


class Payload:
    """What unpickling runs."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, ("owned",)


def beside_the_rest(file: Path, state: dict[str, Any]) -> None:
    AtomicCheckpointIO().save_checkpoint({**state, "more": Payload()}, file)


def among_the_weights(file: Path, state: dict[str, Any]) -> None:
    weights = {**state["state_dict"], "more": Payload()}
    torch.save({**state, "state_dict": weights}, file)


def in_place_of_the_model(file: Path, state: dict[str, Any]) -> None:
    AtomicCheckpointIO().save_checkpoint({**state, "hyper_parameters": Payload()}, file)


def in_the_older_format(file: Path, state: dict[str, Any]) -> None:
    more = {**state, "more": Payload()}
    torch.save(more, file, _use_new_zipfile_serialization=False)


def alone(file: Path, state: dict[str, Any]) -> None:
    file.write_bytes(pickle.dumps(Payload()))


PICKLED = [beside_the_rest, among_the_weights, in_place_of_the_model, in_the_older_format, alone]


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Run a command that must fail, and return its one sentence."""
    capsys.readouterr()
    assert main(args) == 2
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("ae-lightning: ")
    assert line.endswith(".")
    assert "unexpected" not in line
    return line


def test_every_command_and_every_path_that_one_takes_is_known_here() -> None:
    assert WAYS.keys() == (TRAINER_COMMANDS | PLAIN_COMMANDS).keys()
    taken = set()
    for command in PLAIN_COMMANDS:
        function = getattr(import_module(f"ae_lightning.cli.{command}"), command)
        for name, parameter in inspect.signature(function).parameters.items():
            if "Path" in str(parameter.annotation):
                taken.add(f"{command}.{name}")
    assert taken == PATHS


@pytest.mark.parametrize("plant", PICKLED)
@pytest.mark.parametrize("args", EVERY_WAY, ids=" ".join)
def test_a_malicious_checkpoint_is_refused_and_not_run(
    args: tuple[str, ...], plant: Any, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = torch.load("alone.ckpt", weights_only=True)
    for file in checkpoints():
        plant(file, state)
    assert ".ckpt" in refused(capsys, *args)
    assert not Path("owned").exists()
    with suppress(RuntimeError):
        torch.load(checkpoints()[0], weights_only=False)
    assert Path("owned").exists()  # where it is unpickled


def naming_a_function() -> dict[str, str]:
    return {"class_path": "os.mkdir", "init_args": {"path": "owned"}}


def the_model(state: dict[str, Any]) -> None:
    state["hyper_parameters"] = naming_a_function()


def a_part(state: dict[str, Any]) -> None:
    state["hyper_parameters"]["init_args"]["encoder"] = naming_a_function()


def the_optimizer(state: dict[str, Any]) -> None:
    state["hyper_parameters"]["init_args"]["optimizer"] = naming_a_function()


def the_data(state: dict[str, Any]) -> None:
    state["datamodule_hyper_parameters"] = naming_a_function()


def a_callback(state: dict[str, Any]) -> None:
    state["config"]["trainer"]["callbacks"] = [naming_a_function()]


RECORDS = [the_model, a_part, the_optimizer, the_data, a_callback]


@pytest.mark.parametrize(
    ("args", "change"),
    # Only fit makes anything of the trainer's callbacks; summary and compare do of no class.
    [(w, c) for w in EVERY_WAY for c in RECORDS if w[0] == "fit" or c is not a_callback],
    ids=lambda value: getattr(value, "__name__", "") or " ".join(value),
)
def test_a_record_that_names_a_function_is_not_called(
    args: tuple[str, ...], change: Any, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of plain values, which the digest and the unpickler let pass."""
    state = torch.load("alone.ckpt", weights_only=True)
    change(state)
    for file in checkpoints():
        AtomicCheckpointIO().save_checkpoint(state, file)
    Path("run/config.yaml").unlink()  # which is read before what a state records
    if args[0] in ("summary", "compare"):
        assert main(args) == (2 if change is the_model else 0)  # whose record then is no model's
    else:
        refused(capsys, *args)
    assert not Path("owned").exists()


def flip(file: Path, place: float) -> None:
    whole = bytearray(file.read_bytes())
    whole[int(place * len(whole))] ^= 1
    file.unlink()  # best.ckpt may be the same file
    file.write_bytes(whole)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("args", EVERY_WAY, ids=" ".join)
def test_a_flipped_byte_is_named_by_every_command(
    args: tuple[str, ...], place: float, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in checkpoints():
        flip(file, place)
    assert "its digest does not match its content" in refused(capsys, *args)


@pytest.mark.parametrize("damage", [lambda file: flip(file, 0.5), lambda f: f.write_bytes(b"")])
def test_python_reads_checkpoints_as_the_commands_do(here: Path, damage: Any) -> None:
    file = Path("alone.ckpt")
    assert AutoEncoder.load_from_checkpoint(str(file)).latent == 16
    state = torch.load(file, weights_only=True)
    damage(file)
    with pytest.raises(UsageError, match=r"alone\.ckpt is not a checkpoint, or is damaged"):
        AutoEncoder.load_from_checkpoint(file)
    beside_the_rest(file, state)
    with pytest.raises(UsageError, match=r"alone\.ckpt holds more than plain values and tensors"):
        AutoEncoder.load_from_checkpoint(file)
    assert not Path("owned").exists()
    with pytest.raises(UsageError, match=r"there is no checkpoint none\.ckpt"):
        AutoEncoder.load_from_checkpoint("none.ckpt")
