"""What is fetched is verified, and nothing is fetched that only a file names."""

from __future__ import annotations

import ast
import json
import os
import pickle
import re
import shutil
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from ae_lightning.cli.fit import Fit
from ae_lightning.core.addresses import flags_naming, withhold
from ae_lightning.core.errors import UsageError
from ae_lightning.core.parts import rebuild
from ae_lightning.datamodules import Stream, streaming
from ae_lightning.datamodules.streaming.litdata_names import MODULES
from ae_lightning.datamodules.streaming.remote import Remote
from ae_lightning.training.checkpoint_io import AtomicCheckpointIO
from ae_lightning.training.checkpoint_reading import read_checkpoint, recorded
from helpers.attack import command, harmless, one_sentence, watched
from helpers.images import write_images
from helpers.pairs import everything
from helpers.streaming import equal, optimized

SPLITS = ("train", "val", "test")


def fetched(folder: str = "data") -> Stream:
    """litdata fetches a `local:` folder as it does one in remote storage."""
    return Stream(f"local:{folder}", cache_dir="cache", num_workers=0)


def read(data: Stream) -> list[Any]:
    return [everything(data, split) for split in SPLITS]


def alike(one: list[Any], other: list[Any]) -> bool:
    return all(map(equal, one, other))


# ---------------------------------------------------------------- what is cached


def zeroed(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


def of_another(file: Path) -> None:
    shutil.copy(file.with_name("chunk-1.bin"), file)


def lengthened(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b"0")


def in_a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def linked(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


DAMAGES = [zeroed, of_another, lengthened, lambda f: os.truncate(f, 9), in_a_pipe, linked]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("again", [True, False], ids=["by the same reader", "by another"])
def test_a_cached_chunk_that_is_damaged_is_fetched_again(damage, again, chunks_here):
    """The reader of the former chunk must not go on in its place."""
    data = fetched()
    before = read(data)
    chunks = list(Path("cache").rglob("chunk-0.bin"))
    assert len(chunks) == 3
    for chunk in chunks:
        damage(chunk)
    assert alike(read(data if again else fetched()), before)
    assert all(not chunk.is_symlink() and chunk.is_file() for chunk in chunks)


def test_damage_that_remains_is_named(chunks_here, capsys):
    read(fetched())
    for folder in ("cache", "data"):
        for chunk in Path(folder).rglob("chunk-1.bin"):
            zeroed(chunk)
    sentence = (
        "local:data/t[a-z]+/chunk-1.bin cannot be read: its content is not what stream.json says"
    )
    with pytest.raises(UsageError, match=sentence):
        read(fetched())
    flags = ["--data.path", "local:data", "--data.cache_dir", "cache"]
    assert command("test", "--run", "run", *flags, folder=chunks_here)[0] == 2
    assert re.match(sentence, one_sentence(capsys.readouterr().err))


def test_a_folder_that_claims_to_be_another_does_not_take_its_place(chunks_here):
    before = read(Stream("data"))
    shutil.copytree("data", "stranger")
    for chunk in Path("stranger").rglob("*.bin"):
        zeroed(chunk)
    with pytest.raises(UsageError, match=r"^local:stranger/train/chunk-0\.bin cannot be read: its"):
        read(fetched("stranger"))
    assert alike(read(fetched()), before)
    manifest = Path("stranger", "stream.json")
    tree = json.loads(manifest.read_text())
    other = write_images(chunks_here / "other", {"b": 25, "a": 25})  # drawn in another order
    optimized(other, chunks_here / "another", val_size=6)
    digests = json.loads(Path("another", "stream.json").read_text())["digests"]
    manifest.write_text(json.dumps(tree | {"digests": digests}))
    for chunk in Path("stranger").rglob("*.bin"):
        shutil.copy(Path("another", chunk.relative_to("stranger")), chunk)
    read(fetched("stranger"))
    assert len(list(Path("cache").iterdir())) == 2
    assert alike(read(fetched()), before)


@pytest.mark.parametrize("name", ["stream.json", "train/chunk-0.bin"])
def test_what_never_ends_is_not_fetched(name, chunks_here):
    linked(chunks_here / "data" / name)
    with pytest.raises(UsageError, match=rf"^data/{name} is not a regular file\.$"):
        read(fetched())


# -------------------------------------------------------- what only a file names

ELSEWHERE = ["s3://bucket/data", "http://169.254.169.254/data", "hf://datasets/a/b", "local:data"]


def record(run: Path, **arguments: Any) -> None:
    """Let every checkpoint and the config of a run name other data."""
    for file in sorted(run.glob("checkpoints/*.ckpt")):
        state = torch.load(file, weights_only=True)
        state["datamodule_hyper_parameters"]["init_args"] |= arguments
        state["config"]["data"]["init_args"] |= arguments
        AtomicCheckpointIO().save_checkpoint(state, file)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["init_args"] |= arguments
    (run / "config.yaml").write_text(yaml.safe_dump(config))


BEST = "run/checkpoints/best.ckpt"
WAYS = [
    *([c, *way] for c in ("validate", "test") for way in (["--run", "run"],)),
    *(["test", "--ckpt_path", BEST], ["plot", BEST, "codes"], ["plot", "run", "codes"]),
    ["encode", BEST, "--out", "run/codes.npz"],
    ["fit", "--run", "run", "--resume", "--trainer.max_epochs", "2"],
]


@pytest.mark.parametrize("address", ELSEWHERE)
def test_what_only_a_checkpoint_names_is_not_fetched(address, chunks_here, capsys, monkeypatch):
    monkeypatch.setattr(Remote, "__init__", lambda *_: pytest.fail("it is fetched"))
    record(chunks_here / "run", path=address)
    for way in WAYS if address == ELSEWHERE[0] else WAYS[-2:]:
        capsys.readouterr()
        code, watch = command(*way, folder=chunks_here)
        assert code == 2
        assert f"give --data.path {address} " in one_sentence(capsys.readouterr().err)
        harmless(watch, chunks_here / "run")
    data = recorded(read_checkpoint(chunks_here / BEST), chunks_here / BEST)["data"]
    with pytest.raises(UsageError, match=re.escape(f"give --data.path {address} ")):
        rebuild(data)


def test_nor_is_it_without_config_yaml(chunks_here, capsys):
    record(chunks_here / "run", path="s3://bucket/data")
    (chunks_here / "run" / "config.yaml").unlink()
    code, watch = command(*WAYS[-1], folder=chunks_here)
    assert code == 2
    assert "give --data.path s3://bucket/data " in one_sentence(capsys.readouterr().err)
    harmless(watch, chunks_here / "run")


def test_what_this_call_names_is_fetched(chunks_here, capsys):
    record(chunks_here / "run", path="local:data", cache_dir="/nowhere")
    Path("mine.yaml").write_text(
        "data: {class_path: ae_lightning.datamodules.Stream, "
        "init_args: {path: 'local:data', cache_dir: cache, num_workers: 0}}"
    )
    flags = ["--data.path", "local:data", "--data.cache_dir", "cache"]
    for named in (flags, ["--config", "mine.yaml"]):
        assert command("test", "--run", "run", *named, folder=chunks_here)[0] == 0
    assert command("plot", "run", "codes", "--data", "mine.yaml", folder=chunks_here)[0] == 0
    assert command(*WAYS[-1], *flags, folder=chunks_here)[0] == 0
    capsys.readouterr()
    assert command("test", "--run", "run", *flags[:2], folder=chunks_here)[0] == 2
    assert "give --data.cache_dir cache " in one_sentence(capsys.readouterr().err)


def test_flags_name_what_is_recorded():
    arguments = {
        "path": "s3://a b",
        "window": 3,
        "cache_dir": None,
        "corruption": {"x": ["gs://c"]},
    }
    assert flags_naming(arguments) == "--data.path 's3://a b' --data.corruption.x gs://c"
    assert withhold(withhold(arguments)) == withhold(arguments)
    assert flags_naming(withhold(arguments)) == flags_naming(arguments)
    assert flags_naming({"path": "/here", "root": "c:/data", "x": 1}) == ""


@pytest.mark.parametrize(("path", "flags"), [("s3://a/b", " --data.path s3://a/b"), ("b", "")])
def test_the_command_that_continues_a_run_names_them(path, flags):
    fit: Any = SimpleNamespace(run=Path("run"), datamodule=Stream(path), whole_config=dict)
    assert Fit._to_continue(fit) == f"ae-lightning fit --run run --resume{flags}"


# ---------------------------------------------------------------- what unpickles

# All places in litdata that unpickle, found by reading it: its readers of chunks, which choose a
# serializer by index.json; its broadcast between the machines of Lightning's cloud; and its
# `optimize`, which hands work to its workers. Streaming uses none of the three.
UNPICKLING = {
    ("streaming/serializers.py", "GraphSerializer.deserialize"),
    ("streaming/serializers.py", "PickleSerializer.deserialize"),
    ("utilities/broadcast.py", "_ImmutableDistributedMap.set_and_get"),
    ("processing/data_processor.py", "BaseWorker._setup"),
}
LOADS = re.compile(r"(pickle|torch|np|numpy|dill|joblib|marshal|shelve)\.(loads?|open|Unpickler)\b")


def unpickling(root: Path) -> set[tuple[str, str]]:
    """Where the modules below a folder unpickle: each file and function."""
    found = set()
    for file in root.rglob("*.py"):
        lines = (text := file.read_text()).splitlines()
        for node, name in functions(ast.parse(text)) if LOADS.search(text) else ():
            if LOADS.search("\n".join(lines[node.lineno - 1 : node.end_lineno])):
                found.add((file.relative_to(root).as_posix(), name))
    return found


def functions(tree: ast.AST, above: str = "") -> Any:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef):
            yield from functions(node, f"{above}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, f"{above}{node.name}"


def test_nothing_of_litdata_that_unpickles_is_used(chunks_here, monkeypatch):
    import litdata

    assert unpickling(Path(litdata.__file__).parent) == UNPICKLING
    assert unpickling(Path(str(streaming.__file__)).parent) == set()
    for name, module in MODULES.items():
        source = Path(str(import_module(module).__file__)).read_text()
        assert not LOADS.search(source), f"{module}, where {name} is, unpickles"
    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, lambda *_, **__: pytest.fail("it is unpickled"))
    _, watch = watched(lambda: read(fetched()))
    assert watch.unpickled == []
    assert set(MODULES) == {"get_downloader", "LocalDownloader", "get_default_cache_dir"}
