"""What tests of data share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ae_lightning.datamodules.loading import batch_samplers
from helpers.images import write_images
from helpers.streaming import optimized


@pytest.fixture
def on_rank(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Let this process be one of several."""

    def be(rank: int, world: int) -> None:
        monkeypatch.setattr(batch_samplers, "rank_and_world", lambda: (rank, world))

    return be


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder of two classes, without splits: of these names, a tenth falls to each split."""
    return write_images(tmp_path_factory.mktemp("images") / "images", {"a": 33, "c": 27})


@pytest.fixture(scope="module")
def out(images: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, optimized: 48 training examples in 16 chunks, and 6 in 2 for each other split."""
    return optimized(images, tmp_path_factory.mktemp("streamed") / "out")


@pytest.fixture(params=[0, 2], ids=["here", "by workers"])
def workers(request: pytest.FixtureRequest) -> int:
    return int(request.param)
