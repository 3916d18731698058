"""Finders run once, before training: the run is as if their values had been given."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ae_lightning.cli.main import main
from helpers.resuming import ON
from soak import eventful

FINDER = "lightning.pytorch.callbacks.{}"


def config(*finders: tuple[str, dict[str, int]]) -> Path:
    tree = eventful.config(epochs=1, size=256)
    report = tree["trainer"]["callbacks"][1]
    made = [{"class_path": FINDER.format(name), "init_args": given} for name, given in finders]
    tree["trainer"]["callbacks"] = [*made, report]
    file = Path(f"{len(finders)}-finders.yaml")
    file.write_text(yaml.safe_dump(tree))
    return file


def test_a_tuned_run_equals_one_that_was_given_the_values_and_resumes_as_it_was_tuned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    size = ("BatchSizeFinder", {"max_trials": 4, "steps_per_trial": 1})
    rate = ("LearningRateFinder", {"num_training_steps": 20})
    assert main(["fit", "--config", str(config(size, rate)), "--run", "run"]) == 0
    said = capsys.readouterr().out
    assert "BatchSizeFinder has found --data.batch_size 16" in said
    kept = yaml.safe_load(Path("run/config.yaml").read_text())
    lr = kept["model"]["init_args"]["optimizer"]["init_args"]["lr"]
    assert f"LearningRateFinder has found --model.optimizer.lr {lr:.6g}" in said
    assert kept["data"]["init_args"]["batch_size"] == 16
    assert "Finder" not in Path("run/config.yaml").read_text()

    given = ["--data.batch_size", "16", "--model.optimizer.lr", str(lr)]
    assert main(["fit", "--config", str(config()), *given, "--run", "given"]) == 0
    assert eventful.differences(Path("given"), Path("run")) == []

    capsys.readouterr()
    again = ["--config", str(config(size))]
    assert main([*ON, *again, "--trainer.max_epochs", "2"]) == 0
    assert "BatchSizeFinder is left out" in capsys.readouterr().out
    assert [row["epoch"] for row in eventful.validated(Path("run"))][-1] == "1"
    assert not list(Path("run/checkpoints").glob("*.damaged"))


def test_a_finder_that_runs_later_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(__name__ + ".FINDER", "helpers.callbacks.{}")
    assert main(["fit", "--config", str(config(("LaterFinder", {}))), "--run", "run"]) == 2
    assert "LaterFinder does not run once, when training starts" in capsys.readouterr().err
    assert not Path("run").exists()
