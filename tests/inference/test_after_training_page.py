"""The programs of the page on what follows training do what it says."""

from __future__ import annotations

import inspect
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest

import ae_lightning
from ae_lightning import inference
from ae_lightning.inference import Detection, TrainedModel, export
from ae_lightning.inference.comparison import Comparison
from ae_lightning.inference.evaluation import Measured
from ae_lightning.inference.walks import Walk
from helpers.ports import free_port

PAGE = Path(ae_lightning.__file__).parents[1] / "docs" / "after_training.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


ROWS = re.findall(r"^\| `(\w+)(\(.*\))?` \| (.*) \|$", PAGE.read_text(), re.MULTILINE)


def written(function: Any) -> str:
    """A signature without types, as the page writes it."""
    signature = inspect.signature(function)
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in signature.parameters.items()
        if name != "self"
    ]
    plain = signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)
    return str(plain).replace("'", '"')


def test_the_tables_tell_every_function_as_it_is() -> None:
    functions = [n for names in inference.HOMES.values() for n in names if n.islower()]
    told = {name: (signature, returns) for name, signature, returns in ROWS if signature}
    methods = {"code", "spread", "decode"}
    assert set(told) == {*functions, *methods}
    for name in functions:
        function = getattr(inference, name)
        signatures = [signature for one, signature, _ in ROWS if one == name and signature]
        assert signatures[0] == written(function), name
        returned = str(inspect.signature(function).return_annotation)
        [kind] = re.findall(r"^`(\w+)`", next(r for one, s, r in ROWS if one == name and s))
        assert kind.lower() in returned.lower(), name  # NDArray, of newer NumPy
    for name in (*methods, "reconstruct", "denoise", "sample"):
        signatures = [signature for one, signature, _ in ROWS if one == name and signature]
        assert signatures[-1] == written(getattr(TrainedModel, name)), name


@pytest.mark.parametrize("kind", [Walk, Detection, Measured, Comparison])
def test_the_tables_tell_every_field_of_what_is_returned(kind: Any) -> None:
    [row] = [row for name, signature, row in ROWS if name == kind.__name__ and not signature]
    assert re.findall(r"`(\w+)`(?=,| \|)", row.split(" | ")[0] + ",") == list(kind._fields)


def block(word: str) -> str:
    (found,) = [one for one in BLOCKS if word in one]
    return str(found)


@pytest.fixture(scope="module")
def port(digits: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the page's service, in a process of its own, with a model of digits."""
    folder, port = tmp_path_factory.mktemp("service"), free_port()
    export(digits, folder / "model", to="safetensors")
    code = block("HTTPServer").replace("8000", str(port))
    service = subprocess.Popen([sys.executable, "-c", code], cwd=folder, stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        service.kill()
        service.wait()


def asked(port: int, body: bytes, patience: float = 120) -> tuple[int, Any]:
    """What the service answers, once it has started."""
    end = monotonic() + patience
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("POST", "/", body)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except ConnectionRefusedError:
            assert monotonic() < end
            sleep(0.1)
        finally:
            connection.close()


def test_the_service_gives_codes_and_says_what_it_cannot_take(
    port: int, digits: TrainedModel
) -> None:
    x = np.random.default_rng(0).random((3, 8, 8))
    for given in (x, x[0]):
        status, codes = asked(port, json.dumps(given.tolist()).encode())
        assert status == 200
        np.testing.assert_allclose(codes, digits.code(given), atol=1e-5)
    for wrong, said in {
        json.dumps(x[:, 1:].tolist()): "x is of shape (3, 7, 8): the model takes (1, 8, 8)",
        json.dumps((x + 9).tolist()): "the model takes floats in [0, 1], or bytes",
        "[1.0, [2.0]]": "x is no array of numbers",
        "{": "Expecting property name",
    }.items():
        status, answer = asked(port, wrong.encode())
        assert status == 400
        assert said in answer


def test_the_service_answers_whatever_is_sent_and_waits_for_nobody(port: int) -> None:
    right = json.dumps(np.zeros((8, 8)).tolist()).encode()
    assert asked(port, right)[0] == 200  # it has started
    with socket.create_connection(("127.0.0.1", port)) as silent:
        silent.sendall(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n[")
        assert asked(port, right)[0] == 200
    for length, body in {"": b"", "-1": b"", str(10**14): b"", str(10**6): b"[" * 10**6}.items():
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        connection.putrequest("POST", "/")
        if length:
            connection.putheader("Content-Length", length)
        connection.endheaders(body)
        answer = connection.getresponse()
        assert answer.status == 400
        assert json.loads(answer.read())
        connection.close()


def test_the_encoder_runs_without_this_package(
    digits: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    export(digits, "program", parts=["encoder"])
    images = np.random.default_rng(0).random((5, 1, 8, 8), np.float32)
    names: dict[str, Any] = {"images": images}
    exec(block("onnxruntime"), names)
    np.testing.assert_allclose(names["code"], digits.code(images), atol=1e-5)
    np.testing.assert_allclose(names["spread"], digits.spread(images), atol=1e-5)
