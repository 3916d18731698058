"""A checkpoint that a stranger changed is refused in one sentence, or does no harm."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from untrusted.mutations import CLASS, DROPPED, Tree, mutate, mutations, replaced, write

from ae_lightning import AutoEncoder, UsageError
from ae_lightning.cli.main import main
from ae_lightning.inference.configurations import configuration_of, digest_of_validation
from ae_lightning.training import run_directory
from helpers import interpreter
from helpers.attack import CANARY, command, harmless, one_sentence, watched

MODEL, DATA = ("hyper_parameters", "init_args"), ("datamodule_hyper_parameters", "init_args")
WAYS = {
    "fit": ["fit", "--run", "run", "--resume", "--trainer.max_epochs", "2"],
    "validate": ["validate", "--run", "run"],
    "test": ["test", "--ckpt_path", "alone.ckpt"],
    "encode": ["encode", "run", "--limit", "9", "--out", "run/codes.npz", "--force"],
    "plot": ["plot", "alone.ckpt", "codes"],
    "summary": ["summary", "run"],
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tree]:
    """A run of one epoch, and what its checkpoint holds."""
    run = tmp_path_factory.mktemp("good") / "run"
    plain = ["--trainer.callbacks", "ae_lightning.callbacks.Report", "--trainer.callbacks.names"]
    small = ["--data.size", "100", "--data.val_size", "20", "--data.batch_size", "40"]
    widths = ["--model.encoder.widths", "[3]", "--model.decoder.widths", "[3]"]
    args = ["--config", "vae", "--config", "manifold", *plain, "[]", *small, *widths]
    assert main(["fit", *args, "--trainer.max_epochs", "1", "--run", str(run)]) == 0
    return run, torch.load(run_directory.best_checkpoint(run), weights_only=True)


@pytest.fixture
def here(good: tuple[Path, Tree], tmp_path: Path) -> Path:
    """A folder with a copy of the run, of its checkpoint alone, and a module that tells."""
    shutil.copytree(good[0], tmp_path / "run")
    (tmp_path / "alone.ckpt").touch()
    (tmp_path / f"{CANARY}.py").write_text("class Thing: pass")
    return tmp_path


def attack(way: str, tree: Tree, here: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Give a command a checkpoint; return its sentence, or "" if it ends well. No harm is done."""
    files = [here / "alone.ckpt", *(here / "run/checkpoints").iterdir()]
    write(tree, *files)
    capsys.readouterr()
    code, watch = command(*WAYS[way], folder=here)
    harmless(watch, here)
    said = capsys.readouterr().err
    assert code in (0, 2), said
    return one_sentence("\n".join(s for s in said.splitlines() if s[:4] == "ae-l")) if code else ""


def python(tree: Tree, here: Path) -> str:
    """Load a checkpoint in Python; return the sentence, or ""."""
    write(tree, here / "alone.ckpt")
    result, watch = watched(lambda: AutoEncoder.load_from_checkpoint(here / "alone.ckpt"))
    harmless(watch, here)
    return str(result) if isinstance(result, UsageError) else ""


@pytest.mark.parametrize("part", range(4))
def test_python_refuses_every_mutation_or_loads_unharmed(
    good: tuple[Path, Tree], here: Path, part: int
) -> None:
    table = list(mutations(good[1]))
    Random(part).shuffle(table)
    refused = 0
    for _, place, value in table[:60]:
        said = python(replaced(good[1], place, value), here)
        refused += bool(said)
        assert len(said) <= 440
        assert said.isprintable()
    assert refused > 20


@pytest.mark.parametrize("way", WAYS)
def test_commands_refuse_random_mutations_or_end_unharmed(
    way: str, good: tuple[Path, Tree], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = Random(way)
    said = [attack(way, mutate(good[1], random)[1], here, capsys) for _ in range(12)]
    assert any(said)


@pytest.mark.parametrize("name", ["unit_columns", "dropout", "widths"])
@pytest.mark.parametrize("way", ["encode", "summary"])
def test_keys_of_two_types_are_refused_or_do_no_harm(
    name: str, way: str, good: tuple[Path, Tree], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = (*MODEL, "decoder", "init_args", name)
    for keys in ({1: 2, "": None}, [{1: 2, "": None}]):
        attack(way, replaced(good[1], place, keys), here, capsys)


@pytest.mark.parametrize("seed", ["seven", {"a": 1}, None])
def test_a_seed_is_a_number(
    seed: Any, good: tuple[Path, Tree], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = attack("encode", replaced(good[1], (*MODEL, "seed"), seed), here, capsys)
    assert "the model's seed" in said


def test_what_was_asked_for_is_told_and_compared_whatever_its_keys() -> None:
    keys = {1: 2, "": None}
    asked = {"class_path": "A", "init_args": {"latent": 2, "own": keys, "listed": [keys]}}
    checkpoint = {"hyper_parameters": asked, "datamodule_hyper_parameters": asked}
    assert configuration_of(checkpoint)[0]["model.own.1"] == 2
    assert digest_of_validation(checkpoint, None) == digest_of_validation({**checkpoint}, None)


# What is refused by all that use it, whatever the way: a place, what stands there, a word of why.
TABLE: list[tuple[tuple[Any, ...], Any, str]] = [
    (("loops",), {}, "fit_loop"),
    (("loops", "fit_loop"), {}, "state_dict"),
    (("loops", "fit_loop", "epoch_progress", "total", "ready"), -1, "greater than or equal to 0"),
    (("epoch",), -1, "epoch"),
    (("global_step",), 1.5, "global_step"),
    (("pytorch-lightning_version",), "1.4", "version"),
    (("pytorch-lightning_version",), "new", "version"),
    (("state_dict",), {}, "there is no"),
    (("state_dict", "encoder.mean"), torch.zeros(3), "shape"),
    (("state_dict", "encoder.mean"), torch.tensor([1.0, math.nan]), "not finite"),
    (("state_dict", "encoder.mean"), torch.zeros(1).expand(2), "share memory"),
    (("state_dict", "encoder.mean"), torch.zeros(2, dtype=torch.complex64), "complex"),
    (("state_dict", "encoder.mean"), [0.0, 0.0], "instance of Tensor"),
    ((*MODEL, "latent"), 10**12, "does not fit the model"),
    ((*MODEL, "latent"), 10**30, "bits"),
    ((*MODEL, "latent"), "16", "latent"),
    ((*MODEL, "latent"), math.nan, "latent"),
    ((*MODEL, "shape"), [2, 10**9], "does not fit the model"),
    ((*MODEL, "samples"), "many", "samples"),
    ((*MODEL, "value_range"), {"a": 1}, "value_range is"),
    ((*MODEL, "value_range"), [1, 0], "value_range is"),
    ((*MODEL, "value_range"), ["0", "1"], "value_range is"),
    ((*MODEL, "unknown"), 3, "unknown"),
    ((*MODEL, "encoder", "init_args", "widths"), [10**9], "does not fit the model"),
    ((*MODEL, "encoder", "init_args", "widths"), [1] * 10**5, "values"),
    ((*MODEL, "encoder", "init_args", "dropout"), math.nan, "nan"),
    ((*MODEL, "encoder", "class_path"), CLASS, f"--trust {CANARY}"),
    ((*MODEL, "encoder", "class_path"), "os.system", "--trust os"),
    ((*MODEL, "encoder", "class_path"), "ae_lightning.nn.torch.hub.load", "torch"),
    ((*MODEL, "encoder", "class_path"), "ae_lightning.__main__.main", "class's path"),
    ((*MODEL, "encoder", "class_path"), 3, "class's path"),
    ((*MODEL, "encoder"), CLASS, "VariationalAutoEncoder"),
    ((*MODEL, "optimizer", "class_path"), f"{CANARY}.Adam", f"--trust {CANARY}"),
    (("hyper_parameters", "class_path"), CLASS, f"--trust {CANARY}"),
]


@pytest.mark.parametrize("way", [way for way in WAYS if way != "summary"] + ["python"])
def test_every_way_refuses_what_no_model_or_training_can_be_made_of(
    way: str, good: tuple[Path, Tree], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place, value, why in TABLE:
        tree = replaced(good[1], place, value)
        if way == "encode":  # which else takes the model from there
            tree = replaced(tree, ("model_parts",), DROPPED)
        said = python(tree, here) if way == "python" else attack(way, tree, here, capsys)
        assert why in said, (place, value, said)


FIT = ("optimizer_states", 0)
RESUMED: list[tuple[tuple[Any, ...], Any, str]] = [
    (("optimizer_states",), [], "optimizers"),
    ((*FIT, "state", 0, "exp_avg"), torch.zeros(1), "shape"),
    ((*FIT, "state", 0, "exp_avg_sq"), torch.full((3, 2), -1.0), "negative"),
    ((*FIT, "state", 0, "step"), 3, "step"),
    ((*FIT, "state", 99), {"step": torch.tensor(1.0)}, "99"),
    ((*FIT, "param_groups", 0, "lr"), "high", "lr"),
    ((*FIT, "param_groups", 0, "params"), [0], "params"),
    (("lr_schedulers",), [], "lr_schedulers"),
    (("lr_schedulers", 0, "base_lrs"), [math.nan], "base_lrs"),
    (("callbacks", "Checkpoints", "best"), {"val/loss": 1.0}, "step"),
    (("callbacks", "Checkpoints", "monitor"), 3, "monitor"),
    (("resuming", "metrics_rows"), -1, "metrics_rows"),
    (("resuming", "gradients"), {"encoder.mean": torch.zeros(1, 3)}, "gradients"),
    (("Manifold", "batch"), 0, "batch"),
    (("clock",), [1, 2], "clock"),
    (("config", "trainer"), 3, "trainer"),
]


@pytest.mark.parametrize("case", RESUMED, ids=lambda case: ".".join(map(str, case[0])))
def test_a_training_is_not_resumed_from_what_is_wrong(
    case: Any, good: tuple[Path, Tree], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, value, why = case
    assert why in attack("fit", replaced(good[1], place, value), here, capsys)


def test_a_run_names_no_code_either(
    good: tuple[Path, Tree], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a class of the model or a callback, or as bare text where a class may stand."""
    config = here / "run/config.yaml"
    whole = config.read_text()
    for former, new in {
        "ae_lightning.callbacks.Report": CLASS,
        "ae_lightning.nn.mlp.MLP": CLASS,
        "strategy: auto": f"strategy: {CLASS}",
        "devices: auto": f"plugins: {CLASS}",
        "accelerator: auto": f"logger: {CLASS}",
    }.items():
        assert former in whole
        config.write_text(whole.replace(former, new, 1))
        write(good[1], *(here / "run/checkpoints").iterdir())
        capsys.readouterr()
        code, watch = command(*WAYS["fit"], folder=here)
        harmless(watch, here)
        assert code == 2
        one_sentence(capsys.readouterr().err)


OWN = """
from pathlib import Path
from ae_lightning.nn import MLP
Path("imported").touch()
class Wide(MLP): pass
"""


def test_a_part_of_ones_own_is_imported_if_this_call_names_or_trusts_it(
    good: tuple[Path, Tree], here: Path
) -> None:
    """Each command in a process of its own, since one that has imported a part knows it."""
    (here / "my_lab.py").write_text(OWN)
    place = (*MODEL, "encoder", "class_path")
    write(replaced(good[1], place, "my_lab.Wide"), here / "alone.ckpt")
    (here / "mine.yaml").write_text("model: {init_args: {encoder: {class_path: my_lab.Wide}}}")
    validate = "from ae_lightning.cli.main import main; import sys; print(main(sys.argv[1:]))"
    taken = ["validate", "--ckpt_path", "alone.ckpt"]
    for more, code in ([], "2"), (["--trust", "my_lab"], "0"), (["--config", "mine.yaml"], "0"):
        said = interpreter.python("-c", validate, *taken, *more, folder=here)
        assert said.split()[-1] == code
        assert (here / "imported").exists() == (code == "0")
        (here / "imported").unlink(missing_ok=True)
