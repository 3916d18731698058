"""What is pushed to a hub is pulled as the same model; a stranger's is checked first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ae_lightning import load
from ae_lightning.inference import TrainedModel, export
from helpers.hub import COMMIT, Hub, hub
from helpers.interpreter import python

HERE = ["model.json", "model.safetensors"]
# In one process, since huggingface_hub reads HF_ENDPOINT as it is imported.
COMMANDS: dict[str, list[str]] = {
    "push": ["push", "run", "ada/digits"],
    "push hidden": ["push", "run", "ada/hidden", "--private"],
    "pull": ["pull", "ada/digits", "--out", "pulled"],
    "pull again": ["pull", "ada/digits", "--out", "pulled"],
    "pull a commit": ["pull", "ada/digits", "--revision", COMMIT, "--out", "commit"],
    "pull nothing": ["pull", "ada/nothing", "--out", "refused"],
    "pull no revision": ["pull", "ada/digits", "--revision", "old", "--out", "refused"],
    "pull no model": ["pull", "eve/empty", "--out", "refused"],
    "pull no weights": ["pull", "eve/weightless", "--out", "refused"],
    "pull no name": ["pull", "a/b/c", "--out", "refused"],
    "pull code": ["pull", "eve/code", "--out", "refused"],
    "pull damaged": ["pull", "eve/damaged", "--out", "refused"],
    "pull huge": ["pull", "eve/huge", "--out", "refused"],
    "push forbidden": ["push", "run", "closed/digits"],
    "push nothing": ["push", "nowhere", "ada/digits"],
}
SCRIPT = """
import json, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from ae_lightning.cli.main import main
found = {}
for name, args in json.loads(sys.argv[1]).items():
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = main(args)
    found[name] = [code, out.getvalue(), err.getvalue()]
print(json.dumps(found))
"""


def strangers(model: Path, server: Hub) -> None:
    """Fill a hub with what a stranger may have put there."""
    good = {name: (model / name).read_bytes() for name in HERE}
    tree = json.loads(good["model.json"])
    tree["model_parts"]["init_args"]["encoder"]["class_path"] = "canary.Thing"
    weights = bytearray(good["model.safetensors"])
    weights[-1] ^= 1
    server.repos |= {
        "eve/empty": {"model.ckpt": b"\x80\x02", "pytorch_model.bin": b"\x80\x02"},
        "eve/weightless": {"model.json": good["model.json"]},
        "eve/code": good | {"model.json": json.dumps(tree).encode(), "canary.py": b"x"},
        "eve/damaged": good | {"model.safetensors": bytes(weights)},
        "eve/huge": good | {"model.json": b" " * (2**22 + 1)},
    }


@pytest.fixture(scope="module")
def told(
    run: Path, digits: TrainedModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, Hub, dict[str, Any]]]:
    """The folder where all commands ran, the hub, and what each said: exit code, stdout, stderr."""
    folder = tmp_path_factory.mktemp("hub")
    shutil.copytree(run, folder / "run")
    (folder / "canary.py").write_text("open('owned', 'w')\nclass Thing: pass")
    environment = {"HF_HOME": str(folder / "home"), "HF_TOKEN": "token", "HF_HUB_OFFLINE": "0"}
    with hub() as server:
        strangers(export(digits, folder / "model", to="safetensors"), server)
        environment |= {"HF_ENDPOINT": server.address, "HF_HUB_DISABLE_XET": "1"}
        said = python("-c", SCRIPT, json.dumps(COMMANDS), folder=folder, **environment)
        yield folder, server, json.loads(said.splitlines()[-1])


def test_a_model_comes_back_as_it_went(told: Any, digits: TrainedModel) -> None:
    folder, server, found = told
    for name in ("push", "push hidden", "pull", "pull a commit"):
        assert found[name][0] == 0, found[name]
    assert f"{server.address}/ada/digits/commit/{COMMIT}" in found["push"][1]
    assert server.private == {"ada/digits": False, "ada/hidden": True}
    assert set(server.repos["ada/digits"]) == {*HERE, "README.md"}
    assert "library_name: ae-lightning" in server.repos["ada/digits"]["README.md"].decode()
    x = torch.rand(3, 1, 8, 8)
    for pulled in (folder / "pulled", folder / "commit"):
        assert sorted(file.name for file in pulled.iterdir()) == HERE
        model = load(pulled)
        assert (model.reconstruct(x) == digits.reconstruct(x)).all()
        assert (model.figures, model.data) == (digits.figures, digits.data)


def test_nothing_but_weights_and_json_is_fetched(told: Any) -> None:
    fetched = {line.rpartition("/")[2] for line in told[1].asked if "/resolve/" in line}
    assert fetched == {*HERE}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pull again", "pulled exists: name another by --out, or add --force"),
        (
            "pull nothing",
            "ada/nothing cannot be pulled: there is no such repository, or it is priv",
        ),
        ("pull no revision", "ada/digits cannot be pulled: it has no such revision."),
        ("pull no model", "eve/empty cannot be pulled: it holds no model of ae-lightning."),
        ("pull no weights", "eve/weightless cannot be pulled: it holds no model of ae-lightning."),
        ("pull no name", "a/b/c cannot be pulled: Repo id must be in the form"),
        ("pull code", "names canary.Thing, which is not of this package and could run any code"),
        ("pull damaged", "model.safetensors is damaged, or not the file that"),
        ("pull huge", "has a model.json of 4,194,305 bytes: expected at most 4,194,304."),
        ("push forbidden", "the model cannot be pushed to closed/digits: 403 Forbidden"),
        ("push nothing", "there is neither a run nor a checkpoint nowhere."),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(name: str, said: str, told: Any) -> None:
    code, out, error = told[2][name]
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert said in error
    assert {"refused", "owned"}.isdisjoint(file.name for file in told[0].iterdir())
