"""A batch that does not fit ends in the sentence that names one that does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ae_lightning.core import memory
from ae_lightning.training.batch_fitting import largest_batch, ran_out_of_memory

# What the command line is, where so many bytes are free.
TIGHT = """
import sys
from ae_lightning.core import memory
memory.free_memory = lambda device="cpu": 250e6
from ae_lightning.cli import main
sys.exit(main.main(sys.argv[1:]))
"""
FIT = "fit --config vae --config resnet --config short.yaml --data NumpyFile --data.path x.npy"
SHORT = """
trainer:
  max_steps: 2
  limit_val_batches: 0
  callbacks: {class_path: ae_lightning.callbacks.Report, init_args: {names: []}}
"""


def tight(folder: Path, *flags: str, fit: str = FIT) -> tuple[int, str]:
    (folder / "short.yaml").write_text(SHORT)
    command = [sys.executable, "-c", TIGHT, *fit.split(), *flags]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds what a process takes")
def test_a_batch_that_does_not_fit_names_the_largest_that_does(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 255, (800, 3, 64, 64), "u1"))
    code, said = tight(tmp_path, "--data.batch_size", "600", "--run", "a")
    assert code == 2
    found = re.search(r"largest that fits is (\d+): add (.*), which takes the same steps\.", said)
    assert found, said
    assert int(found[1]) in (300, 150, 75, 37, 18)
    assert not re.search("Traceback|alloc_cpu", said)
    code, said = tight(tmp_path, *found[2].split(), "--run", "b")
    assert code == 0, said


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds what a process takes")
def test_a_network_that_does_not_fit_is_refused_while_it_is_built(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((20, 3, 28, 31), "u1"))
    code, said = tight(tmp_path, "--model.encoder.width", "4000", "--run", "a")
    assert code == 2
    sentence = r"ae-lightning: model and data do not fit into memory: .*\)\.\n"
    assert re.fullmatch(sentence, said), said
    assert not re.search("trainer|alloc_cpu", said)
    assert not Path(tmp_path, "a").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds what a process takes")
def test_data_that_do_not_fit_are_told_as_such(tmp_path: Path) -> None:
    """No batch of them is ever drawn, and so none is tried."""
    manifold = "fit --config vae --config manifold --config short.yaml"
    code, said = tight(tmp_path, "--data.size", str(10**9), fit=manifold)
    assert code == 2, said
    assert "model and data do not fit into memory: reduce them" in said


def test_halving_ends_at_the_first_that_fits_and_at_none() -> None:
    tried = []

    def step(limit: int, n: int) -> None:
        tried.append(n)
        if n > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert largest_batch(lambda n: step(40, n), 100) == 25
    assert tried == [1, 3, 6, 12, 25, 50]
    assert largest_batch(lambda n: step(0, n), 3) == 0


def test_another_error_is_not_taken_for_a_lack_of_memory() -> None:
    def step(n: int) -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        largest_batch(step, 8)
    assert ran_out_of_memory(MemoryError())
    assert not ran_out_of_memory(ValueError("out of memory"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds what a process takes")
def test_memory_is_bounded_for_as_long_as_it_should_be(monkeypatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 1e8)
    with memory.bounded_memory(), pytest.raises(RuntimeError, match="memory"):
        torch.empty(4 << 28)
    assert torch.empty(4 << 28).nbytes == 4 << 30


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds what a process takes")
def test_a_process_takes_no_more_than_it_was_allowed_before_however_much_is_free() -> None:
    most = memory.allowance(share=0) + 1e8
    with memory.bounded_memory(most=most), pytest.raises(RuntimeError, match="memory"):
        torch.empty(4 << 28)
    assert torch.empty(4 << 28).nbytes == 4 << 30
