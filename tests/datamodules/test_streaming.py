"""Chunks are fetched from afar and found wrong, each in one sentence."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
import torch

from ae_lightning.core.errors import UsageError
from ae_lightning.datamodules import ImageFolder, Stream
from ae_lightning.datamodules.loading.datasets import BatchDraw
from ae_lightning.datamodules.streaming import remote
from helpers.images import write_images
from helpers.pairs import everything
from helpers.streaming import equal, optimized

# ------------------------------------------------------------------- from far away


def held(cache: Path) -> int:
    size = 0
    for file in cache.rglob("chunk-*.bin"):
        with suppress(FileNotFoundError):  # dropped this moment, by who fetches ahead
            size += file.stat().st_size
    return size


def from_afar(out: Path, cache: Path, **options: object) -> Stream:
    """litdata fetches a `local:` folder as it does one in remote storage."""
    return Stream(f"local:{out}", cache_dir=str(cache), **options)


def test_chunks_from_afar_are_fetched_when_wanted_and_dropped_when_there_is_no_room(
    out, tmp_path, workers
):
    size = max(file.stat().st_size for file in out.rglob("chunk-*.bin"))
    limit = 6 * size
    options = {"window": 3, "batch_size": 5, "num_workers": workers}
    here = Stream(str(out), **options)
    data = from_afar(out, tmp_path, max_cache_size=f"{limit / 1000}KB", **options)
    assert data.shape == here.shape
    assert held(tmp_path) == 0
    for _ in range(2):
        for one, other in zip(data.train_dataloader(), here.train_dataloader(), strict=True):
            assert equal(one, other)
            assert held(tmp_path) <= limit + 2 * max(1, workers) * size
    assert held(tmp_path) > limit // 2
    assert held(out) > 2 * limit  # nothing is dropped there
    for split in ("val", "test"):
        assert equal(everything(data, split), everything(here, split))
    for each in (data, here):
        each.teardown("fit")


def test_a_chunk_that_is_dropped_while_it_is_wanted_is_fetched_again(out, tmp_path, monkeypatch):
    data = from_afar(out, tmp_path, num_workers=0)
    data.setup()
    chunks = data.sets["train"].chunks
    demand, dropped = chunks.cache.demand, []

    def late(split: str, names: Iterator[str]) -> None:
        names = list(names)
        demand(split, names)
        if not dropped:
            dropped.extend(names)
            (chunks.folder / names[0]).unlink()

    monkeypatch.setattr(chunks.cache, "demand", late)
    pair = data.pairs("train", [0, 1])
    assert dropped == ["chunk-0.bin"]
    assert torch.equal(pair.x, Stream(str(out)).pairs("train", [0, 1]).x)


def test_the_next_window_is_fetched_while_one_is_read(out, tmp_path):
    data = from_afar(out, tmp_path, window=4, batch_size=6, num_workers=0)
    pairs = iter(data.train_dataloader())
    chunks = data.sets["train"].chunks
    windows = [data.sets["train"].order(0, epoch).windows for epoch in (0, 1)]
    for w, expected in enumerate([*windows[0][1:], windows[1][0]]):
        next(pairs)  # a window is of two batches
        chunks.cache.ahead.join()
        next(pairs)
        chunks.cache.ahead.join()
        here = {int(file.stem.split("-")[1]) for file in chunks.folder.glob("chunk-*.bin")}
        assert here == set(torch.cat([*windows[0][: w + 1], expected]).tolist())


def test_examples_can_be_sent_to_workers_that_are_not_forked(out, tmp_path):
    data = from_afar(out, tmp_path, num_workers=0)
    next(iter(data.train_dataloader()))
    examples = data.sets["train"]
    draw = BatchDraw(torch.arange(5), (0, 0, 0, 0))
    sent = pickle.loads(pickle.dumps(examples))
    assert torch.equal(sent.__getitems__(draw)[0], examples.__getitems__(draw)[0])


def test_a_storage_that_sends_nothing_is_not_waited_for_without_end(out, tmp_path, monkeypatch):
    from litdata.streaming.downloader import LocalDownloaderWithCache

    monkeypatch.setattr(LocalDownloaderWithCache, "download_file", lambda *_: None)
    monkeypatch.setattr(remote, "FETCH_PATIENCE", 0)
    with pytest.raises(
        UsageError, match=r"^local:.*/out/stream\.json has not arrived within 0 s\.$"
    ):
        from_afar(out, tmp_path).setup()


def test_data_written_anew_in_the_same_place_are_not_mistaken_for_the_former(tmp_path):
    for turn in range(2):
        write_images(tmp_path / f"images{turn}", {"": 12})
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        optimized(tmp_path / f"images{turn}", tmp_path / "out")
        folder = ImageFolder(str(tmp_path / f"images{turn}"))
        data = from_afar(tmp_path / "out", tmp_path / "cache", num_workers=0)
        assert equal(everything(data, "test"), everything(folder, "test"))


# -------------------------------------------------------------------------- errors


def damaged(out: Path, path: Path, change: Callable[[Path], object], workers: int) -> str:
    """The one sentence that a damaged copy yields."""
    shutil.copytree(out, path)
    change(path)
    with pytest.raises(UsageError) as failure:
        list(islice(Stream(str(path), num_workers=workers).train_dataloader(), 1))
    return str(failure.value).replace(str(path), "OUT")


def zeroed(path: Path) -> None:
    """Overwrite the chunks, keeping their sizes."""
    for file in (path / "train").glob("chunk-*.bin"):
        file.write_bytes(bytes(file.stat().st_size))


def edited(old: str, new: str) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        text = (path / "stream.json").read_text()
        assert old in text
        (path / "stream.json").write_text(text.replace(old, new, 1))

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (shutil.rmtree, "there is no folder OUT: give data.path, a folder that ae-lightning optim"),
        (lambda p: (p / "stream.json").unlink(), "OUT is not a streamed folder, since it has no s"),
        (lambda p: shutil.rmtree(p / "val"), "OUT/val/chunk-0.bin is missing: copy its folder aga"),
        (lambda p: (p / "train/chunk-1.bin").unlink(), "OUT/train/chunk-1.bin is missing: copy it"),
        (lambda p: os.truncate(p / "test/chunk-0.bin", 9), "OUT/test/chunk-0.bin is damaged: copy"),
        (
            edited('"version": 2', '"version": 1'),
            "OUT/stream.json is of version 1: write the folde",
        ),
        (
            edited("{", "["),
            "OUT/stream.json is damaged: write the folder again with ae-lightning opt",
        ),
        (
            edited('"val": 6', '"val": 0'),
            "OUT/stream.json: counts.val is 0: input should be greater",
        ),
        (edited('"shape"', '"form"'), "OUT/stream.json: shape: field required."),
        (
            edited('"val": 6', '"val": 7'),
            "OUT/stream.json: there are 7 val examples in chunks of 3",
        ),
        (zeroed, "OUT/train/chunk-"),
    ],
)
def test_damage_is_said_in_one_sentence(out, tmp_path, change, sentence):
    said = damaged(out, tmp_path / "copy", change, 0)
    assert said.startswith(sentence)
    assert "\n" not in said
    assert said.endswith(".")


def test_what_a_worker_cannot_read_is_said_as_well(out, tmp_path):
    said = damaged(out, tmp_path / "copy", zeroed, 1)
    assert said.startswith("OUT/train/chunk-")
    assert "cannot be read: " in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"window": 0}, "window is 0: expected at least 1."),
        ({"num_workers": -1}, "num_workers is -1: expected at least 0."),
        ({"max_cache_size": "many"}, "max_cache_size is many: expected a size such as 50GB or 50"),
        ({"path": "ftp://here/out"}, "ftp://here/out is in no storage that litdata reads from: ex"),
        ({"path": "local:nowhere"}, "local:nowhere/stream.json cannot be fetched: The provided"),
    ],
)
def test_wrong_arguments_are_said_in_one_sentence(out, arguments, sentence):
    with pytest.raises(UsageError) as failure:
        Stream(**{"path": str(out), **arguments}).setup()
    assert str(failure.value).startswith(sentence)


def test_a_cache_too_small_for_two_windows_is_refused(out, tmp_path):
    with pytest.raises(
        UsageError, match=r"^max_cache_size is 1e-06 GB, and two windows of 4 chunk"
    ):
        from_afar(out, tmp_path, window=4, max_cache_size="1KB").setup()


def test_without_litdata_only_what_is_remote_says_what_to_install(images, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "litdata"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "litdata", None)
    out = optimized(images, tmp_path / "out")
    assert equal(everything(Stream(str(out)), "test"), everything(ImageFolder(images), "test"))
    sentence = r"^remote data need litdata: pip install 'ae-lightning\[stream\]'\.$"
    with pytest.raises(UsageError, match=sentence):
        from_afar(out, tmp_path)
