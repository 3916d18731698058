"""Streamed data are the folder's pairs, shared out without overlap, resumed to the bit."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest
import torch

from ae_lightning.cli.main import main
from ae_lightning.core.types import Pair
from ae_lightning.corruptions import GaussianNoise
from ae_lightning.datamodules import ImageFolder, Stream
from ae_lightning.datamodules.loading.order import Order
from helpers.images import write_images
from helpers.pairs import everything
from helpers.seen import BATCHES, KilledAfter, examples, seen_of
from helpers.streaming import SMALL, equal, optimized

SPLITS = ("train", "val", "test")


def counted(pairs: Pair) -> Counter[tuple[bytes, int]]:
    return Counter(zip((x.numpy().tobytes() for x in pairs.x), pairs.y.tolist(), strict=True))


# --------------------------------------------------------------------------- pairs


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


# --------------------------------------------------------------------------- order


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


# --------------------------------------------------------------- ranks and workers


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


# ------------------------------------------------------------------------ resuming


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


# -------------------------------------------------------------------- command line


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
    for command in ("validate", "test"):
        assert main([command, "--run", "run", *moved]) == 0
    assert main(["plot", "run", "reconstructions", "--out", "pictures"]) == 0
    assert (tmp_path / "pictures" / "index.html").is_file()
    wrong = ["--run", "run", "--resume", *moved, "--data.window", "4"]
    assert main(["fit", *wrong]) == 2
    assert "data.window is 4, and was 3 in run" in capsys.readouterr().err
