"""What `make gpu` runs works, and says so where there is no GPU."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch

from gpu import probes
from gpu.__main__ import main
from gpu.table import Row
from helpers.cases import vae
from helpers.one_process import Blobs
from helpers.training import fit


def test_it_says_in_a_line_that_there_is_no_gpu(monkeypatch, capsys) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([]) == 0
    assert capsys.readouterr().out == "gpu: skipped, since there is no GPU here.\n"


@pytest.mark.filterwarnings("ignore")
def test_its_table_is_json_too(tmp_path: Path, capsys) -> None:
    assert main(["--tiny", "resume", "fsdp", "--json", str(tmp_path / "a.json")]) == 0
    rows = json.loads((tmp_path / "a.json").read_text())["rows"]
    assert [(row["case"], row["verdict"]) for row in rows] == [
        ("conv 512", "met"),
        ("mlp 128", "skipped"),
    ]
    assert "tensors to the bit, stopped at step 3 of 4" in capsys.readouterr().out


def test_what_fails_is_said_and_the_rest_goes_on(monkeypatch, capsys) -> None:
    monkeypatch.setattr("gpu.checks.command", None)
    assert main(["--tiny", "waits", "fsdp"]) == 1
    said = capsys.readouterr()
    assert "waits: FAILED" in said.err
    assert "fsdp" in said.out


def test_a_wait_is_counted_in_the_step_that_it_belongs_to(tmp_path: Path, monkeypatch) -> None:
    """Steps 1 to 3 of 4 are watched, and every second one logs."""
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", lambda mode: None)
    model = vae()
    step = model.on_before_optimizer_step

    def waiting(optimizer: torch.optim.Optimizer) -> None:
        step(optimizer)
        for _ in range(model.trainer.global_step):
            warnings.warn(f"{probes.Waits.MESSAGE} (of CUDA's)", stacklevel=1)
        warnings.warn("something else", stacklevel=1)

    monkeypatch.setattr(model, "on_before_optimizer_step", waiting)
    options = {"max_epochs": 1, "num_sanity_val_steps": 0, "log_every_n_steps": 2}
    fit(model, Blobs(14), tmp_path, callbacks=[probes.Waits()], **options)
    assert probes.SEEN["steps"] == {"other": 1, "logging": 2}
    assert probes.SEEN["waits"] == {"logging": 1 + 3, "other": 2}
    assert all("test_gpu.py" in place for place in probes.SEEN["places"])


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (Row("a", "b", [1.0, 3.0, 2.0], 2.0), "met"),
        (Row("a", "b", [1.0, 3.0, 2.0], 2.1), "short"),
        (Row("a", "b", [1.0], 0.5, at_most=True), "short"),
        (Row("a", "b", [1.0]), ""),
        (Row("a", "b"), "skipped"),
    ],
)
def test_the_median_is_what_counts(row: Row, verdict: str) -> None:
    assert row.verdict == verdict
    assert verdict in str(row)
