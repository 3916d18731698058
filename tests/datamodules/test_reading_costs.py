"""Reading a file costs what its decoding does: it is opened once, and copied for nothing."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ae_lightning.datamodules.loading.batch_loader import Handed, received
from ae_lightning.datamodules.loading.datasets import BatchDraw, InMemory
from ae_lightning.datamodules.loading.rendering import Rendering


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
@pytest.mark.parametrize(("mode", "greyscale"), [("L", True), ("RGB", False)])
def test_a_file_of_the_right_size_and_colours_is_opened_once_and_copied_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, greyscale: bool, fit: str
) -> None:
    values = np.random.default_rng(0).integers(0, 256, (4, 6, len(mode)), np.uint8)
    Image.fromarray(values.squeeze(), mode).save(tmp_path / "a.png")
    render, calls, opening = (
        Rendering(size=(4, 6), fit=fit, greyscale=greyscale),
        Counter(),
        os.open,
    )
    render(tmp_path / "a.png")  # imports what it needs
    monkeypatch.setattr(os, "open", lambda *args: calls.update(["open"]) or opening(*args))
    for name in ("resize", "copy", "convert", "transpose"):
        monkeypatch.setattr(Image.Image, name, lambda *args, **options: pytest.fail("copied"))
    assert torch.equal(render(tmp_path / "a.png"), torch.from_numpy(values.transpose(2, 0, 1)))
    assert calls == {"open": 1}


def test_a_worker_hands_over_one_tensor_a_batch() -> None:
    draw = BatchDraw(torch.tensor([3, 1]), (0, 1, 2, 0), counts=False)
    examples = InMemory(torch.rand(5, 2), torch.arange(5))
    handed = Handed(examples).__getitems__(draw)
    assert sum(isinstance(part, torch.Tensor) for part in handed) == 1
    x, y, back = received(*handed)
    assert torch.equal(x, examples.x[[3, 1]])
    assert y.tolist() == [3, 1]
    assert back.rows.tolist() == [3, 1]
    assert back[1:] == draw[1:]
