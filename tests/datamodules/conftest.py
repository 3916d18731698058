"""What tests of data share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ae_lightning.datamodules.loading import batch_samplers


@pytest.fixture
def on_rank(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Let this process be one of several."""

    def be(rank: int, world: int) -> None:
        monkeypatch.setattr(batch_samplers, "rank_and_world", lambda: (rank, world))

    return be
