"""How a run that is tracked does with a bad network, or none."""

from __future__ import annotations

import gzip
import json
import math
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ae_lightning.cli.main import main
from ae_lightning.training import weights_and_biases
from helpers.tracking import FIT, history, rows
from helpers.wandb_files import records

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
    from wandb.sdk import wandb_run

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
    timed(wandb_run.Run, "finish")
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
