"""What loggers are told of a run, read back from their files, and how they do without a network."""

from __future__ import annotations

import csv
import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_callbacks import records

from ae_lightning import runs
from ae_lightning.cli import main
from ae_lightning.commands import tracking

FIT = (
    *("fit", "--config", "undercomplete", "--data", "Manifold", "--data.size", "99"),
    *("--data.val_size", "9", "--model.encoder.widths", "[8]", "--model.decoder.widths", "[8]"),
    *("--trainer.log_every_n_steps", "1", "--model.latent", "2", "--model.lr_schedule", "null"),
)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with code under version control, and no credentials."""
    import wandb

    monkeypatch.chdir(tmp_path)
    for name in [n for n in os.environ if n.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name in ("WANDB_SILENT", "WANDB_MODE", runs.HANDED_ON):  # put back what the run sets
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield tmp_path
    wandb.teardown()


def told(run: Path) -> list[Any]:
    """The records of a run's offline files, in the order in which the files were made."""
    files = sorted(run.glob("wandb/offline-run-*/run-*.wandb"), key=os.path.getmtime)
    deadline = time.monotonic() + 30  # W&B's own process writes the end
    for file in files:
        while not any(r.HasField("exit") for r in records(file)) and time.monotonic() < deadline:
            time.sleep(0.05)
    return [record for file in files for record in records(file)]


def history(run: Path) -> list[dict[str, Any]]:
    """The rows that were logged, nested names joined."""
    found = (r.history.item for r in told(run) if r.HasField("history"))
    return [{"/".join(i.nested_key): json.loads(i.value_json) for i in row} for row in found]


def artifacts(run: Path) -> list[Any]:
    """The artifacts that were logged."""
    found = told(run)
    sent = [r.request.log_artifact.artifact for r in found if r.request.HasField("log_artifact")]
    return sent + [r.artifact for r in found if r.HasField("artifact")]


# ------------------------------------------------------------------------------------- W&B


def test_weights_and_biases_is_told_all_of_a_run_and_of_its_resumption(elsewhere: Path) -> None:
    git = ["git", "-c", "user.name=a", "-c", "user.email=b"]
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "start"], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    wandb = ["--config", "wandb", "--trainer.logger.log_model", "true"]
    callbacks = ["--trainer.callbacks", "Codes", "--trainer.callbacks.every_n_epochs", "1"]
    assert main([*FIT, *wandb, *callbacks, "--trainer.max_epochs", "1", "--run", "a"]) == 0
    found = told(Path("a"))
    assert {r.run.git.commit for r in found if r.HasField("run")} == {head.stdout.strip()}
    assert {r.run.display_name for r in found if r.HasField("run")} == {"a"}

    given = yaml.safe_load(Path("a/config.yaml").read_text())
    config = {u.key: json.loads(u.value_json) for r in found for u in r.config.update}
    assert {k: config[k] for k in given} == given

    steps = {row["trainer/global_step"] for row in history(Path("a"))}
    names = {name for row in history(Path("a")) for name in row}
    logged = set(Path("a/metrics.csv").read_text().splitlines()[0].split(",")) - {"step"}
    assert logged <= names
    assert "pictures/codes/filenames" in names
    assert max(steps) in (1, 2)

    [artifact] = artifacts(Path("a"))
    identifier = Path("a/wandb_id").read_text()
    assert (artifact.name, artifact.type) == (f"model-{identifier}", "model")
    [content] = artifact.manifest.contents
    assert content.path == "best.ckpt"
    assert content.size == Path("a/checkpoints/best.ckpt").stat().st_size

    assert main(["fit", "--run", "a", "--resume", "--trainer.max_epochs", "2"]) == 0
    assert {r.run.run_id for r in told(Path("a")) if r.HasField("run")} == {identifier}
    rows = [row["trainer/global_step"] for row in history(Path("a")) if "val/loss" in row]
    assert len(rows) == 2
    assert rows[0] < rows[1]


@pytest.mark.parametrize("upload", ["false", "all"])
def test_better_checkpoints_become_artifacts_on_request_only(elsewhere: Path, upload: str) -> None:
    options = ["--config", "wandb", "--trainer.logger.log_model", upload, "--run", "a"]
    assert main([*FIT, *options, "--trainer.max_epochs", "3"]) == 0
    with Path("a/metrics.csv").open() as file:
        losses = [float(r["val/loss"]) for r in csv.DictReader(file) if r["val/loss"]]
    better = sum(loss < min(losses[:i], default=math.inf) for i, loss in enumerate(losses))
    assert len(artifacts(Path("a"))) == (better if upload == "all" else 0)


class Hole:
    """A server that answers its first requests, and to later ones never says a word."""

    def __init__(self, answered: int) -> None:
        self.answered, self.open = answered, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.open.append(connection)  # a closed one would be an answer
            if len(self.open) <= self.answered:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_server_answers_or_is_given_up_in_time() -> None:
    began = time.monotonic()
    assert tracking.answers(Hole(answered=1).url)
    assert not tracking.answers(closed_port())
    assert time.monotonic() - began < 2
    assert not tracking.answers(Hole(answered=0).url, seconds=0.5)
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("network", ["hole", "closed port"])
def test_training_goes_on_offline_where_the_server_says_nothing(
    elsewhere: Path,
    network: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = Hole(answered=0).url if network == "hole" else closed_port()
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", url)
    assert main([*FIT, "--config", "wandb", "--trainer.max_epochs", "1", "--run", "a"]) == 0
    said = capsys.readouterr().out
    assert f"offline since {url} does not answer; later: wandb sync a/wandb/" in said
    assert any("val/loss" in row for row in history(Path("a")))


TIMED = """
import sys, time, wandb
from ae_lightning.cli import main

seconds, init = [], wandb.init

def timed(**arguments):
    began = time.monotonic()
    try:
        return init(**arguments)
    finally:
        seconds.append(time.monotonic() - began)

wandb.init = timed
code = main(sys.argv[1:])
print("tries and seconds:", len(seconds), sum(seconds))
sys.exit(code)
"""


def test_training_goes_on_offline_within_15_seconds_where_the_server_falls_silent(
    elsewhere: Path,
) -> None:
    hole = Hole(answered=1)
    environment = {**os.environ, "WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": hole.url}
    fit = [*FIT, "--config", "wandb", "--trainer.max_epochs", "1", "--run", "a"]
    done = subprocess.run(
        [sys.executable, "-c", TIMED, *fit],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Weights & Biases: offline, since the server failed (Timed out" in done.stdout
    tries, seconds = done.stdout.rpartition("tries and seconds: ")[2].split()
    assert tries == "2"
    assert float(seconds) + tracking.ANSWER < 15
    assert any("val/loss" in row for row in history(Path("a")))


# --------------------------------------------------------------------------------- sweeps

# What W&B takes in a sweep's file, as its documentation lists it.
SWEEP = {"name", "method", "metric", "parameters", "program", "command"}


def test_the_command_of_the_shipped_sweep_runs_for_each_of_its_values(
    elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from wandb.sdk.launch.sweeps import utils

    assert main(["configs", "rate"]) == 0
    Path("rate.yaml").write_text(capsys.readouterr().out)
    sweep = utils.load_sweep_config("rate.yaml")
    assert sweep is not None
    assert set(sweep) == SWEEP
    assert sweep["method"] == "grid"
    assert sweep["metric"] == {"name": "val/elbo", "goal": "maximize"}
    [(name, parameter)] = sweep["parameters"].items()
    values = parameter["values"]
    assert len(values) > 3

    # As W&B's agent makes a command line of it.
    arguments = utils.create_sweep_command_args({"args": {name: {"value": values[-1]}}})
    fill = {"${program}": [sweep["program"]], "${args}": arguments["args"]}
    words = utils.create_sweep_command(sweep["command"])
    command = [filled for word in words for filled in fill.get(word, [word])]
    assert command[0] == "ae-lightning"
    limits = ["--trainer.limit_train_batches", "1", "--trainer.max_epochs", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_RUN_ID", "chosen0")  # as the agent does
        assert main([*command[1:], *limits]) == 0
    run = Path("runs/vae-digits-1")
    model = yaml.safe_load((run / "config.yaml").read_text())["model"]
    penalties = model["init_args"]["regularizers"]
    assert penalties["rate"]["init_args"]["weight"] == values[-1]
    assert {r.run.run_id for r in told(run) if r.HasField("run")} == {"chosen0"}
    assert any("val/elbo" in row for row in history(run))


# -------------------------------------------------------------------------- other loggers


@pytest.mark.parametrize("name", ["TensorBoardLogger", "CSVLogger"])
def test_a_logger_is_named_and_keeps_its_files_in_the_run(elsewhere: Path, name: str) -> None:
    if name == "TensorBoardLogger":
        pytest.importorskip("tensorboard")
    assert main([*FIT, "--trainer.max_epochs", "1", "--run", "a", "--trainer.logger", name]) == 0
    assert Path("a/metrics.csv").exists()
    if name == "CSVLogger":
        [file] = Path("a").rglob("version_0/metrics.csv")
        assert "val/loss" in file.read_text().splitlines()[0].split(",")
        return
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    [file] = Path("a").rglob("events.out.tfevents.*")
    events = EventAccumulator(str(file))
    events.Reload()
    assert {"val/loss", "train/loss"} <= set(events.Tags()["scalars"])
    assert [e.step for e in events.Scalars("val/loss")]
