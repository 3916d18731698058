"""Several processes that train together do what one does; helpers/ranks.py is what they run."""

from __future__ import annotations

from functools import partial
from inspect import isabstract
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from ae_lightning import priors, regularizers, systems
from ae_lightning.regularizers import Regularizer
from ae_lightning.training.sharding import FullySharded
from helpers import ranks
from helpers.cases import CASES, RESUMED
from helpers.closeness import close
from helpers.jobs import Job
from helpers.one_process import STEPS

near = partial(close, absolute=1e-9, relative=1e-9)

GPU = "gpu"
# A model's noise comes of its device's generator, and so is another on another kind of device.
WITHOUT_NOISE = ["UndercompleteAutoEncoder", "SparseAutoEncoder", "Contractive", "Orthogonality"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each rank of 2 and of 3 processes found, by "rank-of-world"."""
    directory = tmp_path_factory.mktemp("ranks")
    code, said = Job(["helpers.ranks", "."], directory).end(300)
    assert code == 0, said[-3000:]
    return {path.stem: torch.load(path) for path in directory.glob("*.pt")}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_two_halves_of_a_batch_train_as_the_whole(case: str, found, tmp_path: Path) -> None:
    equals_the_whole(case, [found[f"{rank}-of-2"]["train"][case] for rank in range(2)], tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_two_shards_of_a_model_train_as_the_whole(case: str, found, tmp_path: Path) -> None:
    shards = [found[f"{rank}-of-2"]["sharded"][case] for rank in range(2)]
    equals_the_whole(case, shards, tmp_path)
    size = sum(p.numel() for p in CASES[case]().parameters())
    assert sum(shard["held"] for shard in shards) == size
    assert max(shard["held"] for shard in shards) < 0.7 * size  # rows of layers, of 3 units too


def test_a_sharded_training_goes_on_from_its_checkpoint_to_the_bit(found) -> None:
    for rank in range(2):
        whole = found[f"{rank}-of-2"]["sharded"][RESUMED]["weights"]
        for name, weight in found[f"{rank}-of-2"]["resumed"].items():
            assert torch.equal(weight, whole[name]), name


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", WITHOUT_NOISE)
def test_a_model_sharded_on_a_gpu_trains_as_one_on_the_cpu(case: str, tmp_path: Path) -> None:
    expected = ranks.trained(case, tmp_path)
    try:
        seen = ranks.trained(case, tmp_path, strategy=FullySharded(), accelerator=GPU)
    finally:
        dist.destroy_process_group()
    for name, weight in expected["weights"].items():
        assert near(seen["weights"][name].cpu(), weight), name


def equals_the_whole(case: str, shards: list[dict[str, Any]], directory: Path) -> None:
    expected = ranks.trained(case, directory)
    first, second = shards
    assert len(expected["losses"]) == len(first["losses"]) == STEPS
    for row, wanted in zip(first["losses"], expected["losses"], strict=True):
        assert row.keys() == wanted.keys()
        assert all(near(row[name], wanted[name]) for name in wanted), (row, wanted)
    for name, weight in expected["weights"].items():
        assert near(first["weights"][name], weight), name
        assert torch.equal(second["weights"][name], first["weights"][name]), name


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_validation_is_the_same_on_one_two_and_three_processes(
    case: str, found, tmp_path: Path
) -> None:
    expected = ranks.validated(case, tmp_path)
    for seen in found.values():
        figures = seen["val"][case]
        assert figures.keys() == expected.keys()
        for name, value in expected.items():
            assert near(figures[name], value), (name, figures[name], value)


def test_noise_differs_between_ranks_and_between_steps(found) -> None:
    noises = [noise for rank in range(2) for noise in found[f"{rank}-of-2"]["noise"]]
    assert len(noises) == 4
    for kind in zip(*noises, strict=True):
        for one in range(4):
            for other in range(one):
                assert not torch.isclose(kind[one], kind[other]).any()


def test_all_ranks_stop_together_where_a_loss_is_not_finite_on_one_and_name_the_same(found) -> None:
    first, second = (found[f"{rank}-of-2"]["guard"] for rank in range(2))
    assert first == second
    assert first.startswith("rate is nan in step 1 ")


def test_every_system_penalty_and_learned_prior_is_a_case() -> None:
    models = [make() for make in CASES.values()]
    parts = {type(part) for model in models for part in model.modules()}
    for module, base in (
        (systems, systems.AutoEncoder),
        (regularizers, Regularizer),
        (priors, priors.Prior),
    ):
        for kind in vars(module).values():
            final = isinstance(kind, type) and issubclass(kind, base) and not isabstract(kind)
            if final and kind is not base:
                assert kind in parts, kind
