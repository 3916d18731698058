"""A stranger's folder of chunks is refused in one sentence: it runs, writes and changes nothing."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ae_lightning.core.errors import UsageError
from ae_lightning.datamodules import Stream
from helpers.attack import command, harmless, one_sentence, watched
from helpers.pairs import everything
from helpers.streaming import FIT, equal

Attack = Callable[[Path], object]
SPLITS = ("train", "val", "test")

# -------------------------------------------------------------------- attacks as data


class Payload:
    """What unpickling runs."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, ("owned",)


def said(folder: Path, **changes: Any) -> None:
    """Let stream.json say something else; `...` leaves it out."""
    tree = json.loads((folder / "stream.json").read_text()) | changes
    tree = {name: value for name, value in tree.items() if value is not ...}
    (folder / "stream.json").write_text(json.dumps(tree))


def says(**changes: Any) -> Attack:
    return partial(said, **changes)


def counts(**changes: Any) -> Attack:
    return says(counts={"train": 38, "val": 6, "test": 6} | changes)


def digests(of: Callable[[str], Any]) -> Attack:
    def attack(folder: Path) -> None:
        known = json.loads((folder / "stream.json").read_text())["digests"]
        said(folder, digests={split: [of(d) for d in each] for split, each in known.items()})

    return attack


def manifest(content: bytes) -> Attack:
    return lambda folder: (folder / "stream.json").write_bytes(content)


def instead(make: Callable[[Path], object], *names: str) -> Attack:
    """Put something else in place of files: of all chunks, if none is named."""

    def attack(folder: Path) -> None:
        for file in [folder / n for n in names] or sorted(folder.rglob("*.bin")):
            file.unlink()
            make(file)

    return attack


def overwritten(content: Callable[[bytes], bytes]) -> Attack:
    def attack(folder: Path) -> None:
        for file in folder.rglob("*.bin"):
            file.write_bytes(content(file.read_bytes()))

    return attack


def exchanged(folder: Path) -> None:
    for split in SPLITS:
        one, other = (folder / split / f"chunk-{c}.bin" for c in (0, 1))
        first, second = one.read_bytes(), other.read_bytes()
        one.write_bytes(second)
        other.write_bytes(first)


def as_litdata_writes(folder: Path) -> None:
    """Chunks of the former format, whose index says that they are to be unpickled."""
    from litdata.streaming import Cache

    for split in SPLITS:
        shutil.rmtree(folder / split)
        cache = Cache(str(folder / split), chunk_size=5)
        for i in range(10):
            cache[i] = {"x": Payload(), "y": i}
        cache.done()
        cache.merge()
        assert "pickle" in (folder / split / "index.json").read_text()
    said(folder, version=1, digest="0" * 64, value_range=[0, 1], digests=...)


def huge(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(100 * 2**20)


def zero(file: Path) -> None:
    file.symlink_to("/dev/zero")


MANIFEST = "stream.json"
FAR = 10**400
# Each with a pattern of the sentence, which names the value and what is wrong with it.
ATTACKS: dict[str, tuple[Attack, str]] = {
    "what litdata writes": (as_litdata_writes, "stream.json is of version 1: write the folder ag"),
    "a serializer": (says(data_format=["pickle"]), r"data_format is \['pickle'\]: extra inputs"),
    "a huge shape": (says(shape=[10**9]), "chunks of 3 examples of shape .* take more than 2,0"),
    "another shape": (
        says(shape=[3, 9, 8]),
        r"damaged: copy|a model for data of shape \(3, 8, 8\)",
    ),
    "a huge count": (counts(train=10**18), f"there are {10**18} train examples in chunks of 3"),
    "a count of another split": (counts(**{"../x": 1}), r"counts\.\.\./x\.\[key\]"),
    "a huge chunk": (says(chunk=10**18), "chunks of 1000000000000000000 examples"),
    "control characters": (
        says(classes=["\x1b[2J", "b"]),
        r"the class '\\x1b\[2J' is not of at most",
    ),
    "too few classes": (says(classes=["a"]), "holds the label 1: expected one of the 1 classes"),
    "digests that are paths": (
        digests(lambda d: "../" + d[3:]),
        r"'\.\./.*' in train is not of 64",
    ),
    "digests of others": (digests(lambda d: d[::-1]), "content is not what stream.json says"),
    "nothing": (manifest(b""), "stream.json is damaged: write the folder again"),
    "nested deeply": (manifest(b'{"version":' + b"[" * 10**5), "stream.json is damaged: write the"),
    "a huge manifest": (instead(huge, MANIFEST), "holds 104,857,600 bytes: expected at most 67,1"),
    "a pipe as manifest": (instead(os.mkfifo, MANIFEST), "stream.json is not a regular file"),
    "/dev/zero as manifest": (instead(zero, MANIFEST), "stream.json is not a regular file"),
    "zeros": (overwritten(lambda b: bytes(len(b))), "content is not what stream.json says"),
    "a flipped bit": (overwritten(lambda b: b[:9] + bytes([b[9] ^ 1]) + b[10:]), "content is not"),
    "other labels": (
        overwritten(lambda b: b[:-8] + b"\xff" * 8),
        "content is not what stream.json",
    ),
    "pickles": (
        overwritten(lambda b: pickle.dumps(Payload()).ljust(len(b))),
        "content is not what",
    ),
    "exchanged": (exchanged, "content is not what stream.json says"),
    "too short": (overwritten(lambda b: b[:-1]), "is damaged: copy its folder again"),
    "gone": (instead(lambda file: None), "chunk-0.bin is missing: copy its folder again"),
    "pipes": (instead(os.mkfifo), "chunk-0.bin is damaged: copy its folder again"),
    "/dev/zero": (instead(zero), "chunk-0.bin is damaged: copy its folder again"),
}
# More of the same kinds, which meet the same code.
VARIANTS: dict[str, tuple[Attack, str]] = {
    **{
        f"version {v!r}"[:30]: (says(version=v), "stream.json is of version ")
        for v in (1, 3, "2", True, 2.0, None, ..., [2], FAR, "\x1b[2J" * 99)
    },
    **{
        f"shape {s!r}"[:30]: (says(shape=s), r"shape|chunks of .* take ")
        for s in (
            *([], [0, 8], [-3, -8, 8], [3, 8, True], [3, 8, 8.0], ["3"], "388", None, ...),
            *([10**18] * 8, [FAR] * 8, [10**4299] * 8, [1] * 9, {"0": 3}, [1] * 10**5),
        )
    },
    **{
        f"count {n!r}"[:30]: (counts(train=n), r"counts\.train|train examples in chunks")
        for n in (FAR, -40, 0, True, 40.0, "40", None, 40, 36)
    },
    **{
        f"chunk {n!r}"[:30]: (says(chunk=n), r"chunk is |chunks of ")
        for n in (FAR, 0, -3, 4, True, 3.0, "3", None)
    },
    "no test": (says(counts={"train": 38, "val": 6}), r"counts is .* at least 3 items"),
    "classes alike": (says(classes=["a", "a"]), "the class 'a' is listed 2 times"),
    "classes that turn text around": (says(classes=["a\u202eb", "b"]), "is not of at most 200"),
    "classes of long names": (says(classes=["a" * 10**6, "b"]), "class 'aaaa.*aaaa' is not of at"),
    "classes of numbers": (says(classes=[1, 2]), r"classes\.0 is 1: input should be a valid str"),
    "many classes": (
        says(classes=[str(i % 10**5) for i in range(10**6)]),
        "'0' is listed 10 times",
    ),
    "one digest": (says(digests={s: ["0" * 64] for s in SPLITS}), "and 1 digests of chunks"),
    "digests of nothing": (digests(lambda d: ""), "the digest '' in train is not of 64"),
    "digests in capitals": (digests(str.upper), "is not of 64 hexadecimal digits"),
    "digests of numbers": (
        digests(lambda d: 0),
        r"digests\.train\.0 is 0: input should be a valid",
    ),
    "a value range": (says(value_range=[float("nan"), 1]), "value_range is .*: extra inputs"),
    "a list": (manifest(b"[]"), r"stream.json: its content is \[\]"),
    "not text": (manifest(b"\xff\xfe" * 9), "stream.json is damaged"),
    "long digits": (manifest(b'{"version": ' + b"9" * 10**5 + b"}"), "stream.json is damaged"),
    "a folder as manifest": (instead(os.mkdir, MANIFEST), "stream.json is not a regular file"),
    "too long": (overwritten(lambda b: b + b"0"), "is damaged: copy its folder again"),
    "folders": (instead(os.mkdir), "chunk-0.bin is damaged: copy its folder again"),
    "a file in place of a folder": (
        lambda folder: (shutil.rmtree(folder / "val"), (folder / "val").touch()),
        r"val/chunk-0\.bin cannot be read: .*Not a directory",
    ),
}

# ------------------------------------------------------------------------------ tests

# A run records where its data lay in full, and these are a copy.
COMMANDS = [
    [*FIT, "data", "--run", "new"],
    ["test", "--run", "run", "--data.path", "data", "--data_changed", "accept"],
    ["plot", "run", "codes", "--data", "data"],
]


@pytest.mark.parametrize(
    ("attack", "sentence"), (ATTACKS | VARIANTS).values(), ids=ATTACKS | VARIANTS
)
def test_a_strangers_chunks_are_refused_in_one_sentence(attack, sentence, chunks_here):
    attack(chunks_here / "data")
    error, watch = watched(lambda: [everything(Stream("data"), split) for split in SPLITS])
    assert isinstance(error, UsageError), error
    assert re.search(sentence, str(error)), str(error)
    assert str(error).isprintable()
    assert len(str(error)) <= 401
    harmless(watch)
    assert watch.unpickled == []


@pytest.mark.parametrize(("attack", "sentence"), ATTACKS.values(), ids=ATTACKS)
def test_so_they_are_by_every_command(attack, sentence, chunks_here, capsys):
    attack(chunks_here / "data")
    for args in COMMANDS:
        capsys.readouterr()
        code, watch = command(*args, folder=chunks_here)
        assert re.search(sentence, one_sentence(capsys.readouterr().err))
        assert code == 2
        harmless(watch, chunks_here / "new", chunks_here / "run")
        assert watch.unpickled == []
    assert not Path("owned").exists()
    assert not Path("new").exists()


def test_what_else_lies_in_the_folder_is_not_read(chunks_here):
    before = [everything(Stream("data"), split) for split in SPLITS]
    for split in SPLITS:
        config = {"data_format": ["pickle"], "compression": "zstd", "item_loader": "os.system"}
        chunk = {"filename": "/etc/passwd", "chunk_bytes": 9, "chunk_size": 3}
        index = json.dumps({"config": config, "chunks": [chunk]})
        Path("data", split, "index.json").write_text(index)
    after, watch = watched(lambda: [everything(Stream("data"), split) for split in SPLITS])
    assert all(map(equal, before, after))
    harmless(watch)
