"""Streamed data equal the folder's pairs, are shared without overlap, and resume to the bit."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest
import torch

from ae_lightning.cli.main import main
from ae_lightning.core.errors import UsageError
from ae_lightning.core.types import Pair
from ae_lightning.corruptions import GaussianNoise
from ae_lightning.datamodules import ImageFolder, Stream
from ae_lightning.datamodules.loading.datasets import BatchDraw
from ae_lightning.datamodules.loading.order import Order
from ae_lightning.datamodules.streaming import remote, writing
from helpers.images import write_images
from helpers.pairs import everything
from helpers.seen import BATCHES, KilledAfter, examples, seen_of

SPLITS = ("train", "val", "test")
SMALL = 0.001  # megabytes, which three images of 8 × 8 pixels take


def optimized(folder: Path | str, out: Path, chunk_mb: float = SMALL, **options: object) -> Path:
    from ae_lightning.cli.optimize import optimize

    optimize(Path(folder), out, chunk_mb=chunk_mb, num_workers=0, **options)
    return out


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of two classes, without splits."""
    return write_images(tmp_path_factory.mktemp("images") / "images", {"a": 33, "b": 27})


@pytest.fixture(scope="module")
def out(images: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, optimized: 48 training examples in 16 chunks, and 6 in 2 for each other split."""
    return optimized(images, tmp_path_factory.mktemp("streamed") / "out")


@pytest.fixture(params=[0, 2], ids=["here", "by workers"])
def workers(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def equal(one: Pair, other: Pair) -> bool:
    return all(map(torch.equal, one, other))


def counted(pairs: Pair) -> Counter[tuple[bytes, int]]:
    return Counter(zip((x.numpy().tobytes() for x in pairs.x), pairs.y.tolist(), strict=True))


# ---------------------------------------------------------------------------------- pairs


def test_the_pairs_are_the_folders(images, out):
    for noise in (None, GaussianNoise(0.3)):
        stream, folder = Stream(str(out), corruption=noise), ImageFolder(images, corruption=noise)
        assert (stream.shape, stream.value_range) == (folder.shape, folder.value_range)
        for split in SPLITS:
            assert equal(everything(stream, split), everything(folder, split))


@pytest.mark.parametrize("options", [{"resize": 5}, {"greyscale": True}, {"split_seed": 3}])
def test_so_they_are_however_images_are_read(images, tmp_path, options):
    stream = Stream(str(optimized(images, tmp_path / "out", **options)))
    folder = ImageFolder(images, **options)
    for split in SPLITS:
        assert equal(everything(stream, split), everything(folder, split))


def test_a_folder_that_is_split_stays_so_and_its_training_examples_are_mixed(tmp_path):
    counts = {"train/a": 20, "train/b": 20, "val/a": 5, "test/b": 6}
    folder = ImageFolder(write_images(tmp_path / "images", counts))
    stream = Stream(str(optimized(tmp_path / "images", tmp_path / "out")))
    for split in ("val", "test"):
        assert equal(everything(stream, split), everything(folder, split))
    one, other = everything(stream, "train"), everything(folder, "train")
    assert counted(one) == counted(other)
    assert other.y.tolist() == [0] * 20 + [1] * 20  # by class, which is a bad order to stream in
    assert 0 < one.y[:20].sum() < 20


def test_one_window_of_all_chunks_gives_the_folders_training_batches(images, out, workers):
    noise = {"corruption": GaussianNoise(0.3), "batch_size": 7, "seed": 5}
    stream = Stream(str(out), window=16, num_workers=workers, **noise)
    pairs = zip(
        stream.train_dataloader(), ImageFolder(images, **noise).train_dataloader(), strict=True
    )
    assert [equal(one, other) for one, other in pairs] == [True] * 6
    stream.teardown("fit")


# ---------------------------------------------------------------------------------- order


def chunks_in(order: Order, places: slice) -> set[int]:
    return set((order[places] // order.chunk).tolist())


@pytest.mark.parametrize("n", [1, 12, 100, 103])
@pytest.mark.parametrize(("chunk", "window"), [(1, 1), (4, 3), (10, 2), (200, 2)])
def test_every_example_comes_once_and_no_window_touches_a_chunk_of_another(n, chunk, window):
    order = Order(n, 0, 3, chunk, window)
    whole = order[0:n]
    assert sorted(whole.tolist()) == list(range(n))
    begins = [0, *order.ends]
    seen = [chunks_in(order, slice(a, b)) for a, b in zip(begins, order.ends, strict=False)]
    assert max(map(len, seen)) <= window
    assert sum(map(len, seen)) == -(-n // chunk)
    # However it is read, a slice is that of the whole: so a resumed run may begin anywhere.
    for start, stop in [(0, 5), (7, 40), (n - 3, n + 5), (n, n + 5)]:
        afresh = Order(n, 0, 3, chunk, window)
        assert torch.equal(afresh[max(0, start) : stop], whole[max(0, start) : stop])


def test_a_batch_touches_two_windows_at_most_and_few_rows_are_held():
    order = Order(1000, 1, 0, chunk=10, window=8)
    for start in range(0, 1000, 16):
        assert len(chunks_in(order, slice(start, start + 16))) <= 16
        assert sum(map(len, order._held.values())) <= 2 * 80


def test_the_order_is_a_function_of_seed_and_epoch_that_mixes():
    def order(seed: int, epoch: int) -> list[int]:
        return Order(1000, seed, epoch, chunk=10, window=8)[0:1000].tolist()

    assert order(0, 0) == order(0, 0)
    for other in (order(0, 1), order(1, 0)):
        assert sum(a == b for a, b in zip(order(0, 0), other, strict=True)) < 20
    first, second = ({row // 10 for row in order(0, e)[:80]} for e in (0, 1))
    assert len(first) == len(second) == 8
    assert first != second  # other chunks come together in another epoch
    assert len({row // 10 for row in order(0, 0)[:16]}) > 4


# ------------------------------------------------------------------------ ranks and workers


@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_and_workers_share_examples_out_without_overlap(out, world, workers, on_rank):
    on_rank(0, 1)
    whole = list(Stream(str(out), window=2, num_workers=0, batch_size=12).train_dataloader())
    assert sorted(i for pair in whole for i in pair.places.tolist()) == list(range(48))
    shards, tested = [], []
    for rank in range(world):
        on_rank(rank, world)
        data = Stream(str(out), window=2, num_workers=workers, batch_size=12 // world)
        shards.append(list(data.train_dataloader()))
        tested += [i for pair in data.test_dataloader() for i in pair.places.tolist() if i >= 0]
        data.teardown("fit")
    assert sorted(tested) == list(range(6))
    for batch, expected in enumerate(whole):
        for name in ("x", "y", "places"):
            parts = [getattr(shard[batch], name) for shard in shards]
            assert torch.equal(torch.stack(parts, 1).flatten(0, 1), getattr(expected, name))


# --------------------------------------------------------------------------------- resuming


@pytest.mark.parametrize("batches", [1, 7, 2 * BATCHES])
def test_a_resumed_run_sees_what_an_uninterrupted_one_sees(out, tmp_path, batches, workers):
    def data() -> Stream:
        noise = GaussianNoise()
        return Stream(str(out), window=3, num_workers=workers, batch_size=9, corruption=noise)

    whole = seen_of(data())
    path = tmp_path / "killed.ckpt"
    before = seen_of(data(), KilledAfter("on_train_batch_end", batches, path))
    assert len(whole) == 3 * BATCHES
    assert len(before) == batches
    assert before + seen_of(data(), resume=path) == whole


def test_a_run_goes_on_with_batches_of_another_size_at_the_next_example(out, tmp_path):
    def data(batch_size: int) -> Stream:
        return Stream(str(out), window=3, num_workers=0, batch_size=batch_size)

    order, path = examples(seen_of(data(1))), tmp_path / "killed.ckpt"
    seen = seen_of(data(8), KilledAfter("on_train_batch_end", 2, path)) + seen_of(
        data(4), resume=path
    )
    assert examples(seen) == order


# --------------------------------------------------------------------------- from far away


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
    assert dropped == ["chunk-0-0.bin"]
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
        here = {int(file.stem.split("-")[2]) for file in chunks.folder.glob("chunk-*.bin")}
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


# ---------------------------------------------------------------------------------- writing


def files_in(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_what_is_written_says_what_it_is(images, tmp_path, capsys):
    args = ["--chunk_mb", str(SMALL), "--val_size", "9", "--num_workers", "1"]
    assert main(["optimize", images, str(tmp_path / "new" / "out"), *args]) == 0
    first, _, last = capsys.readouterr().out.strip().splitlines()
    assert first.startswith(f"{tmp_path}/new/out: 42 train, 9 val, 9 test examples of shape (3, 8")
    assert first.endswith(" in 20 chunks")
    assert last.startswith("ae-lightning fit --config vae --config stream --data.path ")
    known = json.loads((tmp_path / "new" / "out" / "stream.json").read_text())
    assert (known["shape"], known["classes"]) == ([3, 8, 8], ["a", "b"])
    assert known["counts"] == {"train": 42, "val": 9, "test": 9}
    assert files_in(tmp_path / "new")[-1] == "out/val/index.json"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), UsageError("no."), OSError(28, "full")])
def test_what_is_interrupted_leaves_nothing(images, tmp_path, monkeypatch, error):
    written = writing.write_split

    def interrupted(data: ImageFolder, split: str, *rest: object) -> None:
        if split == "test":
            assert files_in(tmp_path / "out.partial")
            raise error
        written(data, split, *rest)

    monkeypatch.setattr(writing, "write_split", interrupted)
    with pytest.raises(UsageError if isinstance(error, OSError) else type(error)):
        optimized(images, tmp_path / "out")
    assert not any(tmp_path.iterdir())


def test_what_a_kill_leaves_is_no_data_and_is_named(images, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    monkeypatch.setattr(writing, "order_of", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        optimized(images, tmp_path / "out")
    monkeypatch.undo()
    partial = tmp_path / "out.partial"
    with pytest.raises(UsageError, match=r"out\.partial was left by an interrupted optimize"):
        optimized(images, tmp_path / "out")
    with pytest.raises(UsageError, match=r"out\.partial is not a streamed folder"):
        Stream(str(partial)).setup()


def test_an_empty_folder_is_written_to_and_any_other_is_refused(images, tmp_path):
    (tmp_path / "out").mkdir()
    optimized(images, tmp_path / "out")
    before = files_in(tmp_path)
    with pytest.raises(UsageError, match=r"/out already exists: name a new folder"):
        optimized(images, tmp_path / "out")
    assert files_in(tmp_path) == before


# ----------------------------------------------------------------------------------- errors


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


def edited(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(path: Path) -> None:
        text = (path / name).read_text()
        assert old in text
        (path / name).write_text(text.replace(old, new, 1))

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (shutil.rmtree, "there is no folder OUT: give data.path, a folder that ae-lightning optim"),
        (lambda p: (p / "stream.json").unlink(), "OUT is not a streamed folder, since it has no s"),
        (lambda p: shutil.rmtree(p / "val"), "OUT is not a streamed folder, since it has no va"),
        (lambda p: (p / "train/chunk-0-1.bin").unlink(), "OUT/train/chunk-0-1.bin is missing: "),
        (lambda p: os.truncate(p / "test/chunk-0-0.bin", 9), "OUT/test/chunk-0-0.bin is damaged: "),
        (edited("stream.json", '"version": 1', '"version": 2'), "OUT/stream.json is of version 2"),
        (edited("stream.json", "{", "["), "OUT/stream.json is damaged: write the folder again"),
        (edited("stream.json", '"val": 6', '"val": 0'), "OUT/stream.json is damaged: write the"),
        (edited("stream.json", '"shape"', '"form"'), "OUT/stream.json is damaged: write the fo"),
        (edited("stream.json", '"val": 6', '"val": 7'), "OUT/val/index.json lists 6 examples, a"),
        (edited("train/index.json", "{", "["), "OUT/train/index.json is damaged: copy its folder"),
        (zeroed, "OUT/train/chunk-0-"),
    ],
)
def test_damage_is_said_in_one_sentence(out, tmp_path, change, sentence):
    said = damaged(out, tmp_path / "copy", change, 0)
    assert said.startswith(sentence)
    assert "\n" not in said
    assert said.endswith(".")


def test_what_a_worker_cannot_read_is_said_as_well(out, tmp_path):
    said = damaged(out, tmp_path / "copy", zeroed, 1)
    assert said.startswith("OUT/train/chunk-0-")
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


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["nowhere", "out"], "there is no folder nowhere: give optimize a folder of images."),
        (["images", "images/out"], "images/out lies in images, whose files must be images: name"),
        (["images", "out", "--chunk_mb", "0"], "chunk_mb is 0.0: expected above 0 and at most 2"),
        (["images", "out", "--resize", "big"], "optimize: resize is big: expected a whole number."),
        (
            ["images", "out", "--sise", "3"],
            "optimize: --sise is not an option: did you mean --",
        ),
        (["images"], "optimize: out must be given."),
        (["broken", "out"], "broken/a.png cannot be read as an image: remove or replace it."),
        (["mixed", "out"], "mixed/b.png is 9 × 9 pixels, and the first image 8 × 8: give resize"),
        (["images", "broken/a.png/out"], "broken/a.png/out cannot be written: Not a directory."),
    ],
)
def test_a_wrong_use_of_optimize(args, sentence, images, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").symlink_to(images)
    write_images(tmp_path / "broken", {"": 4})
    (tmp_path / "broken" / "a.png").write_bytes(b"nothing")
    write_images(tmp_path / "mixed", {"": 4})
    write_images(tmp_path / "large", {"": 1}, side=9)
    shutil.move(tmp_path / "large" / "0000.png", tmp_path / "mixed" / "b.png")
    before = files_in(tmp_path)
    assert main(["optimize", *args]) == 2
    assert capsys.readouterr().err.startswith(f"ae-lightning: {sentence}")
    assert files_in(tmp_path) == before


def test_without_litdata_one_sentence_says_what_to_install(images, out, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "litdata"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "litdata", None)
    sentence = r"^streaming needs litdata: pip install 'ae-lightning\[stream\]'\.$"
    with pytest.raises(UsageError, match=sentence):
        Stream(str(out))
    with pytest.raises(UsageError, match=sentence):
        optimized(images, tmp_path / "out")


# ---------------------------------------------------------------------------- command line


def test_from_a_folder_of_images_to_all_that_a_checkpoint_can_do(
    images, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main(["optimize", images, "out", "--chunk_mb", str(SMALL)]) == 0
    args = ["--config", "vae", "--config", "stream", "--data.path", "out", "--run", "run"]
    args += ["--data.batch_size", "8", "--data.num_workers", "0", "--data.window", "3"]
    assert main(["fit", *args, "--trainer.max_epochs", "1"]) == 0
    shutil.move("out", "moved")
    moved = ["--data.path", "moved"]
    assert main(["fit", "--run", "run", "--resume", *moved, "--trainer.max_epochs", "2"]) == 0
    capsys.readouterr()
    assert main(["summary", "run"]) == 0
    assert "ELBO" in capsys.readouterr().out
    for command in ("validate", "test", "predict"):
        assert main([command, "--run", "run", *moved]) == 0
    assert main(["plot", "run", "reconstructions", "--out", "pictures"]) == 0
    assert (tmp_path / "pictures" / "index.html").is_file()
    wrong = ["--run", "run", "--resume", *moved, "--data.window", "4"]
    assert main(["fit", *wrong]) == 2
    assert "data.window is 4, and was 3 in run" in capsys.readouterr().err
