"""What a resumed run takes from its states: what may change, and what may not."""

from __future__ import annotations

import inspect
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ae_lightning import AutoEncoder, VariationalAutoEncoder
from ae_lightning.cli.main import main
from ae_lightning.datamodules import Manifold, PairDataModule
from ae_lightning.training import run_directory
from helpers.apart import ae_lightning
from helpers.resuming import ON
from soak import eventful
from soak.faults import MOMENT


@pytest.fixture(scope="module")
def begun(whole: Path) -> Path:
    """The same, stopped after its first epoch."""
    config, run = whole.with_name("eventful.yaml"), whole.with_name("begun")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MOMENT, "last_batch:1:SIGTERM")
        assert main(["fit", "--config", str(config), "--run", str(run)]) == 143
    return run


@pytest.fixture
def run(begun: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(begun, "run"))


def contents(run: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}


# By each argument, the flags that contradict the run, and what is then said of each.
MODEL: dict[str, tuple[list[str], list[str]]] = {
    "latent": (["--model.latent", "3"], ["model.latent is 3, and was 2"]),
    "encoder": (
        ["--model.encoder.widths", "[9]", "--model.encoder.dropout", "0.1"],
        ["model.encoder.widths is [9], and was [16]", "model.encoder.dropout is 0.1, and was 0.2"],
    ),
    "decoder": (["--model.decoder.widths", "[9]"], ["model.decoder.widths is [9], and was [16]"]),
    "likelihood": (
        ["--model.likelihood", "Laplace"],
        ["model.likelihood is Laplace, and was Gaussian"],
    ),
    "regularizers": (
        ["--model.regularizers.rate.weight.end", "3", "--model.regularizers.more", "L1"],
        [
            "model.regularizers.rate.weight.end is 3.0, and was 2.0",
            "model.regularizers.more is L1, and was none",
        ],
    ),
    "prior": (["--model.prior", "VampPrior"], ["model.prior is VampPrior, and was none"]),
    "samples": (["--model.samples", "4"], ["model.samples is 4, and was 1"]),
    "optimizer": (["--model.optimizer.lr", "0.5"], ["model.optimizer.lr is 0.5, and was 0.003"]),
    "lr_schedule": (
        ["--model.lr_schedule", "Cosine"],
        ["model.lr_schedule is Cosine, and was OneCycle"],
    ),
    "seed": (["--seed_everything", "7"], ["seed_everything is 7, and was 0"]),
}
DATA: dict[str, tuple[list[str], list[str]]] = {
    "toy": (["--data.toy", "Ring"], ["data.toy is Ring, and was none"]),
    "size": (["--data.size", "400"], ["data.size is 400, and was 384"]),
    "batch_size": (["--data.batch_size", "16"], ["data.batch_size is 16, and was 32"]),
    "corruption": (
        ["--data.corruption.sigma", "0.5"],
        ["data.corruption.sigma is 0.5, and was 0.3"],
    ),
    "val_size": (["--data.val_size", "60"], ["data.val_size is 60, and was 64"]),
    "dequantise": (["--data.dequantise", "true"], ["data.dequantise is True, and was False"]),
    "split_seed": (["--data.split_seed", "7"], ["data.split_seed is 7, and was 0"]),
    "seed": MODEL["seed"],
}


# ------------------------------------------------------------- what may not change


def arguments(*classes: type) -> set[str]:
    return {name for c in classes for name in inspect.signature(c.__init__).parameters} - {
        *("self", "common", "others", "shape", "value_range"),  # of data
        *("posterior", "activation"),  # of the system
    }


def test_every_argument_of_a_model_and_of_data_is_known_here() -> None:
    assert MODEL.keys() == arguments(AutoEncoder, VariationalAutoEncoder)
    assert DATA.keys() == arguments(PairDataModule, Manifold)


def refused(capsys: pytest.CaptureFixture[str], run: Path, flags: list[str]) -> str:
    before = contents(run)
    assert main([*ON, *flags]) == 2
    assert contents(run) == before
    (said,) = capsys.readouterr().err.splitlines()
    prefix, end = "ae-lightning: ", "a run continues as it began, so start another one for that."
    assert said.startswith(prefix)
    assert said.endswith(f" in {run_directory.states(run)[0]}: {end}")
    return said.removeprefix(prefix).rpartition(" in ")[0]


@pytest.mark.parametrize(("flags", "named"), [*MODEL.values(), *DATA.values()], ids=str)
def test_what_contradicts_a_run_is_refused_by_name(
    flags: list[str], named: list[str], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(capsys, run, flags).split("; ") == named


def test_all_contradictions_are_named_at_once(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [*MODEL["latent"][0], *DATA["val_size"][0], *MODEL["seed"][0], *DATA["toy"][0]]
    assert set(refused(capsys, run, flags).split("; ")) == {
        *("model.latent is 3, and was 2", "data.val_size is 60, and was 64"),
        *("seed_everything is 7, and was 0", "data.toy is Ring, and was none"),
    }


def test_another_system_and_other_data_are_named(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("other.yaml").write_text("data: {class_path: ae_lightning.datamodules.Digits}\n")
    said = refused(capsys, run, ["--config", "undercomplete", "--config", "other.yaml"])
    assert "model is UndercompleteAutoEncoder, and was VariationalAutoEncoder" in said
    assert "data is Digits, and was Manifold" in said


# ----------------------------------------------------------------- what may change


def test_what_is_not_of_the_model_or_the_data_may_change(run: Path) -> None:
    """In a process of its own, since a strategy leaves its traces in one."""
    Path("more.yaml").write_text(
        yaml.safe_dump(
            {
                "trainer": {
                    "max_epochs": 3,
                    "logger": {
                        "class_path": "lightning.pytorch.loggers.CSVLogger",
                        "init_args": {"save_dir": "csv"},
                    },
                    "strategy": "ddp",
                    "devices": 1,
                    "log_every_n_steps": 1,
                    "gradient_clip_val": 5.0,
                    "callbacks": [
                        {"class_path": "lightning.pytorch.callbacks.LearningRateMonitor"}
                    ],
                },
                "checkpoints": {"every_n_steps": 1, "monitor": "val/mse"},
            }
        )
    )
    code, said = ae_lightning(Path.cwd(), [*ON, "--config", "more.yaml"])
    assert code == 0, said
    assert list(Path("csv").rglob("metrics.csv"))
    assert eventful.validated(run)[-1]["epoch"] == "2"
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["max_epochs"] == 3


def test_where_the_data_lie_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    for i in range(12):
        Image.new("L", (8, 8), 20 * i).save(f"images/{i}.png")
    short = [
        "--trainer.callbacks",
        "ae_lightning.callbacks.Report",
        "--trainer.callbacks.names",
        "[]",
    ]
    data = ["--data.path", "images", "--data.val_size", "2", "--data.num_workers", "0"]
    begin = ["fit", "--config", "vae", "--config", "folder", *data, *short, "--run", "run"]
    assert main([*begin, "--trainer.max_epochs", "1"]) == 0
    os.rename("images", "moved")
    moved = ["--data.path", "moved", "--data.in_memory", "false"]
    assert main([*ON, *moved, "--trainer.max_epochs", "2"]) == 0
    assert [row["epoch"] for row in eventful.validated(Path("run"))] == ["0", "1"]


# ------------------------------------------------------- where config.yaml is lost


def lost(file: Path) -> None:
    file.unlink()


def empty(file: Path) -> None:
    file.write_text("")


def cut_short(file: Path) -> None:
    text = file.read_text()
    file.write_text(text[: text.index("model:") + 60])


def garbled(file: Path) -> None:
    file.write_bytes(bytes(b ^ 0x80 for b in file.read_bytes()))


def no_mapping(file: Path) -> None:
    file.write_text("- " + file.read_text().replace("\n", "\n  "))


@pytest.mark.parametrize("spoil", [lost, empty, cut_short, garbled, no_mapping])
def test_a_run_goes_on_without_its_config(
    spoil: Callable[[Path], None], whole: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Model, data and trainer differ from their defaults, and are made of what a state holds."""
    file = run / run_directory.CONFIG
    config = yaml.safe_load(file.read_text())
    spoil(file)
    assert main(ON) == 0
    said = capsys.readouterr().out
    assert "config.yaml" in said
    assert f"the config is taken from {run_directory.state_name(3)}" in said
    assert eventful.differences(whole, run) == []
    found = yaml.safe_load(file.read_text())
    assert found.keys() == config.keys()
    assert all(found[name] == config[name] for name in config if name != "model")


def test_without_config_and_states_there_is_nothing_to_go_on_with(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for state in (run / run_directory.CHECKPOINTS).iterdir():
        state.unlink()
    lost(run / run_directory.CONFIG)
    assert main(ON) == 2
    assert "run/config.yaml" in capsys.readouterr().err


# ------------------------------------------------------------------ damaged states


def flip(file: Path) -> None:
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.unlink()  # best.ckpt may be the same file
    file.write_bytes(damaged)


def test_the_best_checkpoint_is_a_state_too(
    whole: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for state in run_directory.states(run):
        flip(state)
    assert main(ON) == 0
    said = capsys.readouterr().out
    assert said.count(" is skipped: its digest does not match its content.") == 2
    assert "run continues from best.ckpt" in said
    assert eventful.differences(whole, run) == []


def test_states_that_were_passed_over_do_not_displace_new_ones(whole: Path, run: Path) -> None:
    """A run that resumes from an earlier state, and is killed before it reaches the damaged one."""
    newest, former = run_directory.states(run)
    flip(newest)
    every = ["--checkpoints.every_n_steps", "1"]
    code, said = ae_lightning(Path.cwd(), [*ON, *every], {MOMENT: "batch:2"})
    assert code == -9, said
    assert f"run continues from {former.name}" in said
    assert newest not in run_directory.states(run)
    assert newest.with_name(f"{newest.name}.damaged").exists()
    assert run_directory.newest_state(run)[1] == {}
    assert main([*ON, "--checkpoints.every_n_steps", "2"]) == 0
    assert eventful.differences(whole, run) == []
