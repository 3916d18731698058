"""What loggers are told of a run, read back from their files, and how they do without a network."""

from __future__ import annotations

import csv
import gzip
import json
import math
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import yaml

from ae_lightning.cli.main import main
from ae_lightning.training import run_directory, weights_and_biases
from helpers.wandb_files import records

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
    # Put back what a run sets.
    ours = (
        "WANDB_SILENT",
        "WANDB_ERROR_REPORTING",
        "WANDB__DISABLE_VIEWER",
        run_directory.HANDED_ON,
    )
    for name in ours:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")  # the servers of these tests are here
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
    return rows(told(run))


def rows(found: Iterable[Any]) -> list[dict[str, Any]]:
    items = (record.history.item for record in found if record.HasField("history"))
    return [{"/".join(i.nested_key): json.loads(i.value_json) for i in row} for row in items]


def artifacts(run: Path) -> list[Any]:
    """The artifacts that were logged."""
    found = told(run)
    sent = [r.request.log_artifact.artifact for r in found if r.request.HasField("log_artifact")]
    return sent + [r.artifact for r in found if r.HasField("artifact")]


# ------------------------------------------------------------------------------------- W&B


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
    assert {k: config[k] for k in given} == given

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


@pytest.mark.parametrize("upload", ["false", "all"])
def test_better_checkpoints_become_artifacts_on_request_only(elsewhere: Path, upload: str) -> None:
    options = ["--config", "wandb", "--trainer.logger.log_model", upload, "--run", "a"]
    assert main([*FIT, *options, "--trainer.max_epochs", "3"]) == 0
    with Path("a/metrics.csv").open() as file:
        losses = [float(r["val/loss"]) for r in csv.DictReader(file) if r["val/loss"]]
    better = sum(loss < min(losses[:i], default=math.inf) for i, loss in enumerate(losses))
    assert len(artifacts(Path("a"))) == (better if upload == "all" else 0)


# ------------------------------------------------------------------- with a bad network or none

ANSWERS: dict[str, Any] = {  # to the questions of wandb that it cannot do without
    "Viewer": {"viewer": {"id": "x", "username": "me", "entity": "me", "flags": "{}"}},
    "RunResumeStatus": {"model": None},
    "UpsertBucket": {
        "upsertBucket": {
            "bucket": {
                **dict.fromkeys(("description", "config", "summaryMetrics", "sweepName")),
                **{"id": "x", "name": "x", "displayName": "x", "historyLineCount": 0},
                "project": {"id": "p", "name": "p", "entity": {"id": "e", "name": "me"}},
            },
            "inserted": True,
        }
    },
    "CreateRunFiles": {"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": []}},
}


class Server:
    """As much of W&B's server as a run needs; after so many answers it never says a word again."""

    def __init__(self, answers: float) -> None:
        self.asked: list[str] = []  # the names of the questions, and the paths of what was sent
        self.told = ""  # all that was sent
        outer, self.silenced = self, threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append("")
                if len(outer.asked) > answers:
                    outer.silenced.wait()
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                outer.told += body.decode()
                found = re.search(r"(?:query|mutation)\s+(\w+)", body.decode())
                outer.asked[-1] = found[1] if found else self.path
                reply = json.dumps({"data": ANSWERS.get(outer.asked[-1], {})}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            do_POST = do_PUT = do_GET

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.silenced.set()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def server(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], Server]]:
    """Make the server that runs are sent to, with the credentials for it."""
    made = []

    def make(answers: float) -> Server:
        made.append(Server(answers))
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("WANDB_BASE_URL", made[-1].url)
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """What is done for W&B while training waits: its name, and how many seconds it took."""
    import wandb

    seconds: list[tuple[str, float]] = []

    def timed(owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            began = time.monotonic()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.monotonic() - began
                seconds.append((f"{name} offline" if "offline" in kwargs.values() else name, took))

        monkeypatch.setattr(owner, name, wrapper)

    # In the place of longer ones, which `longest` puts back.
    monkeypatch.setattr(weights_and_biases, "OPEN", SHORT)
    monkeypatch.setattr(weights_and_biases, "CLOSE", SHORT)
    timed(weights_and_biases, "answers")
    timed(wandb, "init")
    timed(wandb, "teardown")
    timed(wandb.Run, "finish")
    return seconds


OPEN, CLOSE, SHORT = weights_and_biases.OPEN, weights_and_biases.CLOSE, 2.0


def longest(waits: list[tuple[str, float]], more: float = 0.0) -> float:
    """How long training has waited, and would have without the limits of the tests."""
    return sum(seconds for _, seconds in waits) + more


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def test_a_server_answers_or_is_given_up_in_time(
    server: Callable[[float], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert weights_and_biases.answers(server(math.inf).url)
    monkeypatch.setattr(weights_and_biases, "ANSWER", 0.5)
    assert not weights_and_biases.answers(server(0).url)
    assert not weights_and_biases.answers(closed_port())
    assert not weights_and_biases.answers("no address")


@pytest.mark.parametrize("network", ["black hole", "closed port"])
def test_training_goes_on_offline_at_once_where_the_server_says_nothing(
    network: str,
    server: Callable[[float], Server],
    waits: list[tuple[str, float]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = server(0).url if network == "black hole" else closed_port()
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", url)
    assert main([*FIT, "--config", "wandb", "--trainer.max_epochs", "1", "--run", "a"]) == 0
    said = capsys.readouterr().out
    assert f"offline since {url} does not answer; later: wandb sync a/wandb/" in said
    assert [name for name, _ in waits] == ["answers", "init offline", "finish"]
    assert longest(waits) < 15
    assert any("val/loss" in row for row in history(Path("a")))


def test_training_goes_on_offline_where_the_server_falls_silent_before_the_run_is_open(
    server: Callable[[float], Server],
    waits: list[tuple[str, float]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    server(1)
    assert main([*FIT, "--config", "wandb", "--trainer.max_epochs", "1", "--run", "a"]) == 0
    assert "Weights & Biases: offline, since " in capsys.readouterr().out
    names = [name for name, _ in waits]
    assert names == ["answers", "init", "teardown", "init offline", "finish"]
    assert longest(waits, OPEN - SHORT) < 15
    assert any("val/loss" in row for row in history(Path("a")))


def test_a_run_is_sent_to_a_server_that_answers(
    server: Callable[[float], Server], capsys: pytest.CaptureFixture[str]
) -> None:
    heard = server(math.inf)
    assert main([*FIT, "--config", "wandb", "--trainer.max_epochs", "1", "--run", "a"]) == 0
    identifier = Path("a/wandb_id").read_text()
    said = capsys.readouterr().out
    assert f"Weights & Biases: run {identifier}\n" in said
    assert "offline" not in said
    assert {"RunResumeStatus", "UpsertBucket"} <= set(heard.asked)  # it may go on with a former one
    assert f'"{identifier}"' in heard.told
    assert "val/loss" in heard.told


def test_training_ends_in_time_where_the_server_falls_silent_meanwhile(
    server: Callable[[float], Server],
    waits: list[tuple[str, float]],
) -> None:
    import wandb

    heard = server(6)  # the run is open by then
    assert main([*FIT, "--config", "wandb", "--trainer.max_epochs", "1", "--run", "a"]) == 0
    assert "UpsertBucket" in heard.asked
    assert [name for name, _ in waits] == ["answers", "init", "finish"]
    assert waits[-1][1] > SHORT / 2  # it does wait for an answer
    assert longest(waits[2:], CLOSE - SHORT) < 15
    wandb.teardown()  # as at the end of the process
    # What wandb sync sends later.
    [file] = Path("a").glob("wandb/run-*/run-*.wandb")
    assert any("val/loss" in row for row in rows(records(file)))


@pytest.mark.parametrize(
    ("option", "value", "wrong"),
    [("project", "a/b", "project"), ("id", "a/b", "id")],
)
def test_what_weights_and_biases_does_not_take_is_one_sentence(
    elsewhere: Path, option: str, value: str, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--config", "wandb", f"--trainer.logger.{option}", value]
    assert main([*FIT, *arguments, "--trainer.max_epochs", "1", "--run", "a"]) == 2
    [sentence] = capsys.readouterr().err.splitlines()
    assert wrong in sentence.lower()
    assert not Path("a").exists()


# --------------------------------------------------------------------------------- sweeps

# What W&B takes in a sweep's file, as its documentation lists it.
SWEEP = {"name", "method", "metric", "parameters", "program", "command"}


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
    assert sweep["metric"] == {"name": "val/elbo", "goal": "maximize"}
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
