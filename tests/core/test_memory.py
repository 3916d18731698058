"""Free memory is what the system says."""

from __future__ import annotations

from pathlib import Path

import pytest

from ae_lightning.core import memory


def test_free_memory_is_some_and_less_than_there_is() -> None:
    assert 0 < memory.free_memory() < memory.memory() < 2**50


def test_a_container_limits_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    for name, text in {
        "memory.max": "1000\n",
        "memory.current": "700\n",
        "memory.stat": "anon 500\ninactive_file 150\n",
    }.items():
        (tmp_path / name).write_text(text)
    assert memory.memory() == 1000
    assert memory.free_memory() == 1000 - 700 + 150
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_memory() > 2**20


@pytest.mark.parametrize(
    ("free", "most", "found"), [(64, 9, 9), (64, 99, 16), (27, 9, 4), (0, 9, 1)]
)
def test_what_fits_is_all_or_a_power_of_two(free, most, found, monkeypatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: free * 2.0**30)
    assert memory.fitting(2**30, most) == found


def test_what_is_small_fits_without_asking(monkeypatch) -> None:
    monkeypatch.delattr(memory, "free_memory")
    assert memory.fitting(memory.SMALL / 9, 9) == 9
    with pytest.raises(NameError):
        memory.fitting(memory.SMALL / 8, 9)


@pytest.mark.skipif(not memory.PROCESS.exists(), reason="only Linux says what a process takes")
def test_a_limit_of_the_process_counts() -> None:
    before = memory.free_memory()
    with memory.bounded_memory(share=0.5):
        assert memory.free_memory() < 0.6 * before
    assert memory.free_memory() > 0.7 * before
