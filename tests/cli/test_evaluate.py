"""evaluate and compare, as commands."""

import csv
import json
import os
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch

from ae_lightning.cli.main import main
from ae_lightning.core.untrusted import conform
from ae_lightning.inference import evaluate, load
from ae_lightning.inference.comparison import Evaluated
from ae_lightning.training.checkpoint_io import AtomicCheckpointIO

QUICK = ["--limit", "60", "--samples", "5", "--subset", "20", "--labels", "120"]


def told(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    capsys.readouterr()
    assert main(args) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    capsys.readouterr()
    assert main(args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("ae-lightning: ")


# ---------------------------------------------------------------------------- evaluate


@pytest.fixture(scope="module")
def asked(whole: Path) -> dict[str, Any]:
    """What evaluate --json prints."""
    with pytest.MonkeyPatch.context() as patch:
        printed: list[str] = []
        patch.setattr("ae_lightning.cli.evaluate.tell", lambda *lines: printed.extend(lines))
        assert main(["evaluate", str(whole), "--json", *QUICK]) == 0
    return json.loads("\n".join(printed))


def test_every_group_that_is_defined_is_measured(asked):
    conform(Evaluated, asked, "the output")
    assert asked["examples"] == 60
    assert (asked["data"], asked["split"]) == ("Digits", "test")
    groups = ["likelihood", "reconstruction", "sensitivity", "information", "sparsity"]
    assert list(asked["figures"]) == [*groups, "representation"]
    assert list(asked["left_out"]) == ["disentanglement", "score", "realism"]
    assert "knows no factors" in asked["left_out"]["disentanglement"]


def test_python_measures_the_same(whole, asked):
    model = load(whole)
    ask = {"limit": 60, "samples": 5, "subset": 20, "only": ["likelihood", "sparsity"]}
    found = evaluate(model, "digits", **ask)
    assert list(found.figures) == ["likelihood", "sparsity"]
    for group, figures in found.figures.items():
        for figure in figures:
            assert figure.value == pytest.approx(asked["figures"][group][figure.name]["value"])
    table = found.frame().set_index("name")
    assert table.loc["elbo", "unit"] == "nats"
    assert table.loc["elbo", "value"] == found.figures["likelihood"][0].value


def test_the_validation_is_what_training_logged(whole):
    model = load(whole)
    found = evaluate(model, split="val", only=["likelihood", "reconstruction"], subset=1, samples=1)
    for figure in [*found.figures["likelihood"], *found.figures["reconstruction"]]:
        if f"val/{figure.name}" in model.figures:
            assert figure.value == pytest.approx(model.figures[f"val/{figure.name}"], rel=1e-4)
    assert found.figures["likelihood"][0].name == "elbo"


def test_a_table_tells_values_errors_and_notes(whole, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    text = told(capsys, "evaluate", str(whole), "--only", "sparsity, likelihood", *QUICK)
    assert "60 examples of Digits, split test" in text
    assert text.index("log_p") < text.index("l0")  # in the order of the groups
    assert "K = 5" in text
    assert "left out" not in text


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--only", "likelyhood"], "only is 'likelyhood': did you mean likelihood?"),
        (["--only", "disentanglement"], "disentanglement: Digits knows no factors"),
        (["--only", "realism"], "realism: FID and KID need the weights"),
        (["--data", "minst"], "did you mean mnist?"),
        (["--data", "mnist", "--only", "sparsity"], ""),
        (["--samples", "0"], "samples is 0: expected at least 1"),
        (["--split", "tset"], "there is no split"),
        (["--seed", "-1"], "seed is -1"),
        (["--batch_size", "0"], "batch_size is 0"),
    ],
)
def test_what_is_wrong_is_named(args, said, whole, capsys, small_sets):
    line = refused(capsys, "evaluate", str(whole), *args)
    assert said in line
    assert line[-1] in ".?"


def test_figures_of_a_folder_are_those_of_its_images(whole, tmp_path, capsys):
    from PIL import Image

    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        pixels = torch.randint(0, 256, (8, 8), dtype=torch.uint8).numpy()
        Image.fromarray(pixels).save(folder / f"{i}.png")
    args = ["--only", "reconstruction", "--split", "all", "--json"]
    found = json.loads(told(capsys, "evaluate", str(whole), "--data", str(folder), *args))
    assert found["examples"] == 3
    assert found["figures"]["reconstruction"]["mse"]["value"] > 0


def test_an_exported_folder_is_measured_and_compared_as_its_run(whole, tmp_path, capsys):
    folder = str(tmp_path / "out")
    told(capsys, "export", str(whole), "--to", "safetensors", "--out", folder)
    ask = {"data": "digits", "only": ["sparsity"], "limit": 50}
    assert evaluate(folder, **ask).figures == evaluate(whole, **ask).figures
    text = told(capsys, "compare", str(whole), folder, "--only", "mse", "--to", "csv")
    one, other = csv.DictReader(StringIO(text))
    assert one["mean"] == other["mean"]


# ----------------------------------------------------------------------------- compare


def variant(run: Path, to: Path, mse: float, **changes: Any) -> Path:
    """A copy of a run of another seed or another step size, with another error."""
    shutil.copytree(run, to)
    file = to / "checkpoints" / "best.ckpt"
    state = torch.load(file, weights_only=True)
    arguments = state["hyper_parameters"]["init_args"]
    arguments["seed"] = changes.get("seed", 0)
    arguments["optimizer"]["init_args"]["lr"] = changes.get("lr", 1e-3)
    data = state["datamodule_hyper_parameters"]["init_args"]
    data |= {name: changes[name] for name in ("split_seed", "batch_size") if name in changes}
    state["callbacks"]["Checkpoints"]["latest"]["val/mse"] = mse
    file.unlink()
    AtomicCheckpointIO().save_checkpoint(state, file)
    return to


@pytest.fixture(scope="module")
def runs(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three seeds at one step size, two at another."""
    folder, here = tmp_path_factory.mktemp("several"), Path.cwd()
    os.chdir(folder)
    settings = [
        (0.030, 0, 1e-3),
        (0.032, 1, 1e-3),
        (0.034, 2, 1e-3),
        (0.05, 0, 2e-3),
        (0.04, 1, 2e-3),
    ]
    for i, (mse, seed, lr) in enumerate(settings):
        variant(whole, Path(f"r{i}"), mse, seed=seed, lr=lr)
    os.chdir(here)
    return [str(folder / f"r{i}") for i in range(5)]


def test_runs_of_several_seeds_share_a_column(runs, capsys):
    text = told(capsys, "compare", *runs, "--only", "mse", "--to", "csv")
    slow, fast = csv.DictReader(StringIO(text))
    assert slow["runs"] == f"{runs[0]} (3 seeds)"
    assert float(slow["mean"]) == pytest.approx(0.032)
    assert float(slow["spread"]) == pytest.approx(0.002)
    assert slow["best"] == "True"
    assert fast["runs"] == f"{runs[3]} (2 seeds)"
    assert float(fast["spread"]) == pytest.approx(0.01 / 2**0.5)
    assert fast["best"] == "False"


def test_markdown_tells_what_differs_and_marks_the_best(runs, capsys):
    lines = told(capsys, "compare", *runs, "--only", "mse,rate", "--to", "markdown").splitlines()
    assert lines[2] == "| model.optimizer.lr | 0.001 | 0.002 |"
    assert lines[3] == "| mse | **0.0320 ± 0.0020** | 0.0450 ± 0.0071 |"
    assert "**" not in lines[4]  # a rate is neither good nor bad


def test_latex_is_a_table_of_its_own(runs, capsys):
    text = told(capsys, "compare", runs[0], runs[3], "--only", "mse,active_units", "--to", "latex")
    assert text.startswith("\\begin{tabular}{lrr}\n\\toprule")
    assert "mse & \\textbf{0.03} & 0.05 \\\\" in text
    assert "active\\_units & " in text
    assert text.endswith("\\bottomrule\n\\end{tabular}\n")


def test_a_terminal_shows_the_best_by_a_star(runs, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    text = told(capsys, "compare", runs[0], runs[3])
    assert "0.03*" in text
    assert "best values are marked *" in text


def test_the_best_is_marked_among_runs_of_the_same_data_alone(
    whole, runs, tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "300")
    other = str(variant(whole, tmp_path / "other", 0.001, lr=4e-3, split_seed=7))
    again = str(variant(whole, tmp_path / "again", 0.02, lr=5e-3, batch_size=7))
    ask = ["--only", "mse", "--to"]
    text = told(capsys, "compare", runs[0], other, again, runs[3], *ask, "csv")
    assert [row["best"] for row in csv.DictReader(StringIO(text))] == [
        *("False", "False", "True", "False")
    ]
    line = f"among runs of the same data and shape alone: {runs[0]}, {again}, {runs[3]}"
    for to, sign in {"table": "marked *", "markdown": "bold", "latex": "% best values"}.items():
        *_, last = told(capsys, "compare", runs[0], other, again, runs[3], *ask, to).splitlines()
        assert last.endswith(line)
        assert sign in last
    text = told(capsys, "compare", runs[0], other, *ask, "table")
    assert "no values are marked: the runs are of unlike data or shapes" in text
    assert "*" not in text


def test_files_of_other_examples_are_not_marked_together(asked, tmp_path, capsys):
    other = json.loads(json.dumps(asked))
    other["configuration"]["model.latent"] = 99
    other["figures"]["likelihood"]["log_p"]["value"] += 1
    other["digest"] = "0" * 64
    for name, tree in (("a", asked), ("b", other)):
        (tmp_path / f"{name}.json").write_text(json.dumps(tree))
    files = [str(tmp_path / f"{name}.json") for name in "ab"]
    text = told(capsys, "compare", *files, "--only", "log_p", "--to", "markdown")
    assert "**" not in text
    assert "no values are marked" in text


def test_a_digest_tells_the_examples_whatever_the_batch_size(whole):
    ask = {"only": ["sparsity"], "limit": 50}
    digests = [
        evaluate(whole, "digits", **ask | changes).digest
        for changes in ({}, {"batch_size": 7}, {"split": "val"}, {"limit": 49})
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_one_seed_twice_is_no_spread(runs, capsys):
    text = told(capsys, "compare", runs[0], runs[0], "--only", "mse", "--to", "csv")
    assert [row["spread"] for row in csv.DictReader(StringIO(text))] == ["", ""]
    assert "True" not in text  # neither is better


def test_evaluated_files_are_compared_if_they_are_of_the_same(asked, tmp_path, capsys):
    other = json.loads(json.dumps(asked))
    other["configuration"]["model.latent"] = 99
    other["figures"]["likelihood"]["log_p"]["value"] += 1
    for name, tree in (("a", asked), ("b", other)):
        (tmp_path / f"{name}.json").write_text(json.dumps(tree))
    files = [str(tmp_path / f"{name}.json") for name in "ab"]
    text = told(capsys, "compare", *files, "--only", "log_p", "--to", "markdown")
    assert "| model.latent | 16 | 99 |" in text
    assert text.count("**") == 2
    other["settings"]["samples"] = 7
    (tmp_path / "b.json").write_text(json.dumps(other))
    assert "compare equal ones" in refused(capsys, "compare", *files)


@pytest.mark.parametrize("content", ["", "[", "[]", "{}", "[" * 10_000, '{"model": 1}', "\xff"])
def test_a_file_of_something_else_is_named(content, tmp_path, capsys):
    (tmp_path / "a.json").write_bytes(content.encode("latin-1"))
    assert "a.json" in refused(capsys, "compare", str(tmp_path / "a.json"))


def test_figures_and_runs_that_are_not_there_are_named(runs, capsys):
    assert "did you mean psnr?" in refused(capsys, "compare", runs[0], "--only", "pnsr")
    assert "there is neither a run nor" in refused(capsys, "compare", "nowhere")
    assert "no runs are given" in refused(capsys, "compare")
