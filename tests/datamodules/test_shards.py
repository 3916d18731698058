"""Processes share the global batches, and count each example once."""

from __future__ import annotations

import pytest
import torch

from ae_lightning.core.errors import UsageError
from ae_lightning.corruptions import GaussianNoise
from ae_lightning.datamodules import Digits
from ae_lightning.datamodules.loading.batch_samplers import EvaluationSampler, TrainingSampler
from ae_lightning.datamodules.loading.datasets import InMemory


def training(n: int, batch_size: int) -> TrainingSampler:
    examples = InMemory(torch.zeros(n, 1), torch.zeros(n))
    return TrainingSampler(examples, batch_size, seed=0, position=lambda: (0, 0, 0))


def evaluation(n: int, batch_size: int) -> EvaluationSampler:
    return EvaluationSampler(range(n), batch_size)


@pytest.mark.parametrize("n", [3, 16, 17, 40, 101])
@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_shards_make_up_the_global_batches(n, world, batch_size, on_rank):
    on_rank(0, 1)
    whole = list(training(n, min(batch_size * world, n - n % world)))
    shards = []
    for rank in range(world):
        on_rank(rank, world)
        draws = training(n, batch_size)
        shards.append(list(draws))
        assert len(shards[-1]) == len(draws) == len(whole) > 0
        assert len({len(draw.rows) for draw in shards[-1]}) == 1
    for batch, expected in enumerate(whole):
        rows = torch.stack([shard[batch].rows for shard in shards], dim=1).flatten()
        assert torch.equal(rows, expected.rows)
        assert len({shard[batch].key for shard in shards}) == world


@pytest.mark.parametrize("n", [3, 16, 17, 40, 101])
@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_evaluation_counts_each_example_once_in_equally_many_batches(n, world, batch_size, on_rank):
    on_rank(0, 1)
    whole = [draw.rows.tolist() for draw in evaluation(n, batch_size)]
    assert [row for rows in whole for row in rows] == list(range(n))
    assert 1 <= min(map(len, whole)) <= max(map(len, whole)) <= batch_size
    counted, lengths = [], set()
    for rank in range(world):
        on_rank(rank, world)
        draws = evaluation(n, batch_size)
        drawn = list(draws)
        lengths.add(len(drawn))
        assert len(draws) == len(drawn)
        assert all(draw.rows.tolist() in whole for draw in drawn)
        counted += [draw.rows.tolist() for draw in drawn if draw.counts]
    assert len(lengths) == 1
    assert sorted(counted) == whole


def test_evaluation_pairs_are_the_same_on_any_number_of_processes(on_rank):
    data = Digits(corruption=GaussianNoise(), batch_size=40)
    whole = list(data.test_dataloader())
    assert len(whole) % 3 != 0
    for rank in range(3):
        on_rank(rank, 3)
        shard = list(data.test_dataloader())
        for pair, expected in zip(shard, whole[rank::3], strict=False):
            assert all(map(torch.equal, pair, expected))
        uncounted = shard[len(whole[rank::3]) :]
        assert len(uncounted) == (rank >= len(whole) % 3)
        assert all((pair.places == -1).all() and len(pair.x) for pair in uncounted)


def test_too_few_examples_for_the_processes(on_rank):
    on_rank(0, 4)
    with pytest.raises(UsageError, match=r"^3 training examples cannot be shared by 4 processes"):
        len(training(3, 8))
    assert [len(draw.rows) for draw in evaluation(3, 8)] == [3]
