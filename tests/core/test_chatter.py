"""Lightning's chatter is dropped as soon as the package is imported; all other lines stay."""

import logging

import pytest

from ae_lightning.core.chatter import tells_news
from helpers.interpreter import streams

STAYS = [
    "GPU available: True (cuda), used: False",
    "`Trainer.fit` stopped: `max_epochs=20` reached.",
    "You are using a CUDA device that has Tensor Cores.",
]
DROPPED = [
    "GPU available: False, used: False",
    "TPU available: False, using: 0 TPU cores",
    "💡 Tip: For seamless cloud logging, try installing another package.",
]


@pytest.mark.parametrize("message", STAYS + DROPPED)
def test_only_what_tells_nothing_is_dropped(message: str) -> None:
    record = logging.LogRecord("x", logging.INFO, "x", 1, "%s", (message,), None)
    assert tells_news(record) is (message in STAYS)


def test_a_warning_is_dropped_from_lightning_alone() -> None:
    """Whoever else calls what is deprecated can do something about it."""
    code = """
import warnings
import ae_lightning
for module in ("lightning.pytorch.utilities._pytree", "my_own", "lightning_of_mine"):
    for text in ("`isinstance(treespec, LeafSpec)` is deprecated", "another"):
        warnings.warn_explicit(text, FutureWarning, f"{module}.py", 1, module=module)
"""
    said = [line.split(":") for line in streams("-c", code)[1].splitlines() if "Warning" in line]
    assert [(file, text.split()[-1]) for file, _, _, text in said] == [
        ("lightning.pytorch.utilities._pytree.py", "another"),
        ("my_own.py", "deprecated"),
        ("my_own.py", "another"),
        ("lightning_of_mine.py", "deprecated"),
        ("lightning_of_mine.py", "another"),
    ]
