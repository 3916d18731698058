"""What a training step costs in counts that do not depend on the machine."""

from __future__ import annotations

import ctypes
from functools import partial
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ae_lightning.training.allocator import M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, keep_freed_memory
from bench.counts import FLAT, SYSTEMS, calls_per_step, faults_per_step
from bench.product import BARE, Setting, fit_apart

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of images of MNIST's shape."""
    file = tmp_path_factory.mktemp("images") / "images.npy"
    draw = np.random.default_rng(0).integers(0, 256, (6000, 1, 28, 28), np.uint8)
    np.save(file, draw)
    return file


@pytest.mark.parametrize(("less", "most"), [({}, 2200), (BARE, 2000)], ids=["shipped", "bare"])
def test_a_step_calls_few_functions(less: dict[str, Any], most: int, images: Path) -> None:
    """As many as Lightning alone calls, where nothing is on: 1,976."""
    few = Setting(conv=False, batch=8, steps=0)
    # In torch 2.7, two operators a step look through their arguments in Python, by 72 calls.
    searched = 0 if hasattr(torch._ops, "_contains_fake_script_object") else 72
    assert 500 < calls_per_step(few, images, (50, 100), **less) - searched <= most


def faults(system: str, images: Path, **options: Any) -> float:
    """Page faults in the median step of a few."""
    if not keep_freed_memory():
        pytest.skip("only glibc can be told to keep freed memory")
    conv = system not in FLAT
    setting = Setting(conv, batch=128 if conv else 256, steps=20, system=system)
    return median(faults_per_step(setting, images, **options))


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_step_faults_no_tensor_in(system: str, images: Path) -> None:
    """But for a few pages of Python's own memory, while that grows: a tensor is 32 and more.

    What is smaller than 128 KiB, glibc takes from its heap by itself.
    """
    assert faults(system, images) < 16


def test_it_does_where_the_allocator_is_left_as_it_is(images: Path) -> None:
    # At its own threshold, which glibc otherwise raises by itself after a while, or does not.
    own = {"AE_ALLOCATOR": "default", "MALLOC_MMAP_THRESHOLD_": str(2**17)}
    assert faults("vae", images, train=partial(fit_apart, environment=own)) > 50


@pytest.mark.parametrize("most", [2**30, 2**25])
def test_an_older_library_is_told_what_it_takes_at_most(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {}

    def mallopt(parameter: int, value: int) -> int:
        if parameter == M_MMAP_THRESHOLD and value > most:
            return 0
        settings[parameter] = value
        return 1

    monkeypatch.delenv("AE_ALLOCATOR", raising=False)
    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.31"))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    assert keep_freed_memory()
    assert settings == {M_MMAP_THRESHOLD: most, M_TRIM_THRESHOLD: 2**31 - 1}
