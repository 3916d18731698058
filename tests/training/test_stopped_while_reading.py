"""A signal while images are read leaves nothing that the next start is refused by."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from helpers.images import write_images
from helpers.jobs import Job

SLOW = """
import time
from pathlib import Path
from ae_lightning.corruptions import Masking
from ae_lightning.datamodules.loading.rendering import Rendering

read, number = Rendering.read, 0

def slow(self, *arguments):
    global number
    number += 1
    if number > 3:
        Path("reading").touch()
        time.sleep(0.3)
    return read(self, *arguments)

Rendering.read = slow

class Slow(Masking):
    pass
"""
FIT = ("fit", "--config", "vae", "--config", "folder", "--data.path", "images", "--run", "run")
SHORT = (
    "--data.corruption",
    "slow.Slow",
    "--data.resize",
    "8",
    "--trainer.max_epochs",
    "1",
    "--model.latent",
    "2",
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signum", "after"), [(signal.SIGINT, 3), (signal.SIGTERM, 3), (signal.SIGTERM, 0)]
)
def test_a_signal_while_images_are_read(tmp_path: Path, signum: int, after: int) -> None:
    write_images(tmp_path / "images", {"": 200})
    (tmp_path / "slow.py").write_text(SLOW.replace("> 3", f"> {after}"))
    job = Job(["ae_lightning", *FIT, *SHORT], tmp_path)
    deadline = time.monotonic() + 120
    while not (tmp_path / "reading").exists():
        assert time.monotonic() < deadline, job.said()
        assert job.process.poll() is None, job.said()
        time.sleep(0.05)
    job.process.send_signal(signum)
    sent = time.monotonic()
    code, said = job.end(60)
    assert time.monotonic() - sent < 15  # it does not wait until all are read, which takes a minute
    assert code == 128 + signum, said
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists(), said
