"""A checkpoint says which format it is of, and another than this version's is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from ae_lightning import AutoEncoder, UndercompleteAutoEncoder, UsageError
from ae_lightning.cli.main import main
from ae_lightning.datamodules import Manifold
from ae_lightning.nn import MLP
from ae_lightning.training import run_directory
from ae_lightning.training.checkpoint_io import AtomicCheckpointIO
from ae_lightning.training.checkpoint_reading import require_format
from ae_lightning.training.checkpoint_schema import FORMAT, FORMAT_KEY

# What a checkpoint may hold in place of the format's number, and what is then said of it.
ONLY = f"this version of ae-lightning reads format {FORMAT} only."
OTHERS: dict[str, tuple[Any, str]] = {
    "missing": (None, f"has no format number: {ONLY}"),
    "newer": (FORMAT + 1, f"is of format {FORMAT + 1}: {ONLY}"),
    "older": (FORMAT - 1, f"is of format {FORMAT - 1}: {ONLY}"),
    "a string": (str(FORMAT), f"is of format '{FORMAT}': {ONLY}"),
    "a float": (float(FORMAT), f"is of format {float(FORMAT)}: {ONLY}"),
    "a boolean": (True, f"is of format True: {ONLY}"),
    "a tensor": (torch.tensor(FORMAT), f"is of format tensor({FORMAT}): {ONLY}"),
}
COMMANDS = {
    "fit": ["--run", "run", "--resume"],
    "validate": ["--ckpt_path", "run/checkpoints/best.ckpt"],
    "test": ["--run", "run"],
    "encode": ["run", "--out", "codes.npz"],
    "summary": ["run"],
    "plot": ["run"],
}


def model() -> AutoEncoder:
    small = {"encoder": MLP(widths=(4,)), "decoder": MLP(widths=(4,))}
    return UndercompleteAutoEncoder((2,), latent=1, value_range=None, **small)


def trainer(folder: Path, **options: Any) -> Trainer:
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)
    options = {"max_steps": 2, "enable_checkpointing": False} | quiet | options
    return Trainer(accelerator="cpu", default_root_dir=folder, **options)


def data() -> Manifold:
    return Manifold(size=200, batch_size=16, val_size=16)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that Lightning's own trainer has saved."""
    folder = tmp_path_factory.mktemp("saved")
    made = trainer(folder)
    made.fit(model(), data())
    made.save_checkpoint(folder / "a.ckpt")
    return folder / "a.ckpt"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step, without pictures."""
    run = tmp_path_factory.mktemp("good") / "run"
    plain = ["--trainer.callbacks", "ae_lightning.callbacks.Report", "--trainer.callbacks.names"]
    short = ["--data.size", "200", "--data.val_size", "20", "--trainer.max_steps", "1"]
    args = ["--config", "undercomplete", "--config", "manifold", *plain, "[]", *short]
    assert main(["fit", *args, "--run", str(run)]) == 0
    return run


def with_format(file: Path, found: Any) -> Path:
    checkpoint = torch.load(file, weights_only=True)
    checkpoint.pop(FORMAT_KEY)
    file.unlink()  # best.ckpt may be the same file
    AtomicCheckpointIO().save_checkpoint(
        checkpoint if found is None else {**checkpoint, FORMAT_KEY: found}, file
    )
    return file


def test_every_checkpoint_of_a_model_carries_the_number(saved: Path, good: Path) -> None:
    """Also one that a plain Trainer saves."""
    for file in (saved, good / "checkpoints/best.ckpt", *run_directory.states(good)):
        checkpoint = torch.load(file, weights_only=True)
        assert type(checkpoint[FORMAT_KEY]) is int
        assert checkpoint[FORMAT_KEY] == FORMAT
        require_format(checkpoint)
        AutoEncoder.load_from_checkpoint(file)


@pytest.mark.parametrize(("found", "said"), OTHERS.values(), ids=OTHERS)
def test_python_refuses_another_format(found: Any, said: str, saved: Path, tmp_path: Path) -> None:
    file = with_format(Path(shutil.copy(saved, tmp_path)), found)
    with pytest.raises(UsageError) as raised:
        AutoEncoder.load_from_checkpoint(file)
    assert str(raised.value) == f"{file} {said}"
    with pytest.raises(UsageError) as raised:  # which reads the file by itself
        trainer(tmp_path, max_steps=3).fit(model(), data(), ckpt_path=file, weights_only=True)
    assert str(raised.value) == f"{file} {said}"


@pytest.mark.parametrize("other", ["missing", "newer", "a string"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_another_format_in_one_sentence(
    command: str,
    other: str,
    good: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(good, "run")
    for file in Path("run/checkpoints").iterdir():
        with_format(file, OTHERS[other][0])
    capsys.readouterr()
    assert main([command, *COMMANDS[command]]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ae-lightning: run/checkpoints/")
    assert line.endswith(f".ckpt {OTHERS[other][1]}")


def test_what_another_format_holds_beside_its_number_does_not_matter(tmp_path: Path) -> None:
    """A later version may keep everything elsewhere."""
    file = tmp_path / "later.ckpt"
    AtomicCheckpointIO().save_checkpoint({FORMAT_KEY: 7, "weights": {}}, file)
    with pytest.raises(UsageError, match=rf"is of format 7: {ONLY}"):
        AutoEncoder.load_from_checkpoint(file)
