"""What a data module says of data that are wrong."""

from __future__ import annotations

import pytest

from ae_lightning.core.errors import UsageError


def run_through(data) -> None:
    data.setup()
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        list(loader)  # workers see a bad image only when they come to it


def failure(data) -> str:
    """The one line that reading all of the data ends with."""
    with pytest.raises(UsageError) as caught:
        run_through(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)
