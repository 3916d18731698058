"""What loggers are told of a run, read back from their files."""

from __future__ import annotations

import csv
import json
import math
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import yaml

from ae_lightning.cli.main import main
from helpers.tracking import FIT, history, told

# --------------------------------------------------------------------------------


def artifacts(run: Path) -> list[Any]:
    """The artifacts that were logged."""
    found = told(run)
    sent = [r.request.log_artifact.artifact for r in found if r.request.HasField("log_artifact")]
    return sent + [r.artifact for r in found if r.HasField("artifact")]


# ----------------------------------------------------------------------------- W&B


def test_weights_and_biases_is_told_all_of_a_run_and_of_its_resumption(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import wandb

    wandb.teardown()  # which forgets the folder, and its commit, of earlier runs of this process
    git = ["git", "-c", "user.name=a", "-c", "user.email=b"]
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "start"], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    tracked = ["--config", "wandb", "--trainer.logger.log_model", "true"]
    callbacks = ["--trainer.callbacks", "Codes", "--trainer.callbacks.every_n_epochs", "1"]
    assert main([*FIT, *tracked, *callbacks, "--trainer.max_epochs", "1", "--run", "a"]) == 0
    identifier = Path("a/wandb_id").read_text()
    [records_of_it] = Path("a/wandb").glob("offline-run-*")
    assert records_of_it.name.endswith(identifier)
    offline = (
        f"run {identifier}, offline since no credentials were found; later: wandb sync a/wandb/"
    )
    assert offline in capsys.readouterr().out
    found = told(Path("a"))
    assert {r.run.git.commit for r in found if r.HasField("run")} == {head.stdout.strip()}
    assert {r.run.display_name for r in found if r.HasField("run")} == {"a"}

    given = yaml.safe_load(Path("a/config.yaml").read_text())
    config = {u.key: json.loads(u.value_json) for r in found for u in r.config.update}
    assert {k: v for k, v in config.items() if k != "_wandb"} == given

    steps = {row["trainer/global_step"] for row in history(Path("a"))}
    names = {name for row in history(Path("a")) for name in row}
    logged = set(Path("a/metrics.csv").read_text().splitlines()[0].split(",")) - {"step"}
    assert logged <= names
    assert "pictures/codes/filenames" in names
    assert max(steps) in (1, 2)

    [artifact] = artifacts(Path("a"))
    assert (artifact.name, artifact.type) == (f"model-{identifier}", "model")
    [content] = artifact.manifest.contents
    assert content.path == "best.ckpt"
    assert content.size == Path("a/checkpoints/best.ckpt").stat().st_size

    assert main(["fit", "--run", "a", "--resume", "--trainer.max_epochs", "2"]) == 0
    assert {r.run.run_id for r in told(Path("a")) if r.HasField("run")} == {identifier}
    rows = [row["trainer/global_step"] for row in history(Path("a")) if "val/loss" in row]
    assert len(rows) == 2
    assert rows[0] < rows[1]

    assert main(["test", "--run", "a", "--config", "wandb"]) == 0
    wandb.finish()
    assert {r.run.run_id for r in told(Path("a")) if r.HasField("run")} == {identifier}
    assert any("test/loss" in row for row in history(Path("a")))
    numbers = [row["_step"] for row in history(Path("a"))]  # one record after another
    assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("upload", ["false", "all"])
def test_better_checkpoints_become_artifacts_on_request_only(elsewhere: Path, upload: str) -> None:
    options = ["--config", "wandb", "--trainer.logger.log_model", upload, "--run", "a"]
    assert main([*FIT, *options, "--trainer.max_epochs", "3"]) == 0
    with Path("a/metrics.csv").open() as file:
        losses = [float(r["val/loss"]) for r in csv.DictReader(file) if r["val/loss"]]
    better = sum(loss < min(losses[:i], default=math.inf) for i, loss in enumerate(losses))
    assert len(artifacts(Path("a"))) == (better if upload == "all" else 0)


# What W&B takes in a sweep's file, as its documentation lists it.
SWEEP = {"name", "method", "metric", "parameters", "program", "command"}


# -------------------------------------------------------------------------- sweeps


def test_the_command_of_the_shipped_sweep_runs_as_the_agent_starts_it(
    elsewhere: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from wandb import wandb_agent
    from wandb.sdk.launch.sweeps import utils

    assert main(["configs", "rate"]) == 0
    Path("rate.yaml").write_text(capsys.readouterr().out)
    sweep = utils.load_sweep_config("rate.yaml")
    assert sweep is not None
    assert set(sweep) == SWEEP
    assert sweep["method"] == "grid"
    assert sweep["metric"] == {"name": "val/mse", "goal": "minimize"}  # the same at any weight
    [(name, parameter)] = sweep["parameters"].items()
    values = parameter["values"]
    assert len(values) > 3

    # W&B's agent itself makes a command line of it, but does not start a process.
    started = []
    monkeypatch.setattr(
        wandb_agent, "AgentProcess", lambda **given: started.append(given) or Mock()
    )
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep0")
    for variable in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH"):  # put back what the agent sets
        monkeypatch.setenv(variable, "")
    agent = object.__new__(wandb_agent.Agent)
    agent._sweep_command, agent._function, agent._in_jupyter = sweep["command"], None, False
    agent._forward_signals, agent._run_processes = False, {}
    arguments = {name: {"value": values[-1]}}
    agent._command_run({"run_id": "chosen0", "program": sweep["program"], "args": arguments})
    [program, *command] = started[0]["command"]
    assert program == "ae-lightning"
    limits = ["--trainer.limit_train_batches", "1", "--trainer.max_epochs", "1"]
    assert main([*command, *limits]) == 0
    run = Path("runs/vae-digits-1")
    model = yaml.safe_load((run / "config.yaml").read_text())["model"]
    penalties = model["init_args"]["regularizers"]
    assert penalties["rate"]["init_args"]["weight"] == values[-1]
    found = [r.run for r in told(run) if r.HasField("run")]
    assert {(r.run_id, r.sweep_id) for r in found} == {("chosen0", "sweep0")}
    assert any(sweep["metric"]["name"] in row for row in history(run))


# ------------------------------------------------------------------- other loggers


@pytest.mark.parametrize("name", ["TensorBoardLogger", "CSVLogger"])
def test_a_logger_is_named_and_keeps_its_files_in_the_run(elsewhere: Path, name: str) -> None:
    assert main([*FIT, "--trainer.max_epochs", "1", "--run", "a", "--trainer.logger", name]) == 0
    assert Path("a/metrics.csv").exists()
    if name == "CSVLogger":
        [file] = Path("a").rglob("version_0/metrics.csv")
        assert "val/loss" in file.read_text().splitlines()[0].split(",")
        # A config that another run is made of does not lead it into this one's directory.
        assert main(["fit", "--config", "a/config.yaml", "--run", "b"]) == 0
        assert main(["fit", "--run", "b", "--resume", "--trainer.max_epochs", "2"]) == 0
        assert [len(list(Path(run).rglob("version_*"))) for run in "ab"] == [1, 2]
        return
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    [file] = Path("a").rglob("events.out.tfevents.*")
    events = EventAccumulator(str(file))
    events.Reload()
    assert {"val/loss", "train/loss"} <= set(events.Tags()["scalars"])
    assert [e.step for e in events.Scalars("val/loss")]
