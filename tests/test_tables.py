"""The tables of docs/results.md: what they run, what they keep, and what they say."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from ae_lightning.core.config_files import shipped
from ae_lightning.inference.measures.figures import Figure
from tables import __main__ as tables
from tables import page, running
from tables.table import Quantity, Row, Table

TABLES = tables.TABLES.values()
ROWS = [(table, row) for table in TABLES for row in table.rows]
ERROR = Quantity("error, %", "accuracy", times=-100, plus=100, digits=1)


def table_of(*rows: Row, **options) -> Table:
    return Table("small", "Small", "Two rows.", [ERROR], rows, {"only": ["x"]}, **options)


@pytest.fixture
def places(tmp_path: Path) -> running.Places:
    return running.Places(tmp_path / "runs", tmp_path / "results", tmp_path / "page.md")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the experiments that were run, in place of running them."""
    names: list[str] = []

    def result(experiment, runs: Path) -> running.Found:
        names.append(f"{experiment.name} {experiment.seed}")
        if experiment.name == "score":
            raise KeyboardInterrupt
        figure = Figure("accuracy", 0.9 + 0.02 * experiment.seed)
        return running.Found(
            experiment=experiment.name,
            seed=experiment.seed,
            figures={"accuracy": figure._asdict()},
            seconds={"processor": 3.2},
            resumed=False,
            machine="a machine",
            versions={"torch": "2"},
        )

    monkeypatch.setattr(running, "result", result)
    return names


def test_the_page_is_written_from_the_results_that_are_kept() -> None:
    text = page.written([*TABLES], tables.PLACES, tables.TO_COME)
    assert text == tables.PLACES.page.read_text(), "make tables writes it"


def test_every_recipe_stands_in_a_table() -> None:
    recipes = {name for name in shipped() if name.startswith("recipes/")}
    assert recipes == {f"recipes/{row.recipe}" for _, row in ROWS if isinstance(row.recipe, str)}


@pytest.mark.parametrize(("table", "row"), ROWS, ids=lambda part: part.name)
def test_a_row_has_the_figures_that_it_shows_and_a_source(table: Table, row: Row) -> None:
    titles = {q.title: row.instead.get(q.title, q.figure) for q in table.quantities}
    assert {*row.published, *row.instead} <= titles.keys()
    assert table.source or not row.published
    found = tables.PLACES.found(table)
    for result in (found[e.digest] for e in table.experiments(row) if e.digest in found):
        assert result["figures"].keys() >= set(titles.values())


def test_what_is_finished_is_kept_and_an_interrupted_table_goes_on(places, ran) -> None:
    table = table_of(Row("a", "pca"), Row("b", "score"), Row("c", "burda_vae"), seeds=(0, 1))
    with pytest.raises(KeyboardInterrupt):
        running.run(table, places)
    assert ran == ["pca 0", "score 0"]
    assert [r["seed"] for r in json.loads(places.file(table).read_text()).values()] == [0]
    running.run(replace(table, rows=[table.rows[0], table.rows[2]]), places)
    assert ran[2:] == ["burda_vae 0", "pca 1", "burda_vae 1"]


def test_a_changed_experiment_is_run_again_and_alone(places, ran) -> None:
    a, b = Row("a", "pca"), Row("b", "features_ae")
    running.run(table_of(a, b), places)
    running.run(table_of(a, replace(b, name="another name")), places)
    assert ran == ["pca 0", "features_ae 0"]
    changed = table_of(a, replace(b, flags="--model.latent 3"))
    text = page.section(changed, places.found(changed))
    assert "| b | not run |" in text
    assert "--model.latent 3`, not run: minutes of one core a seed." in text
    running.run(changed, places)
    assert ran[2:] == ["features_ae 0"]
    running.run(replace(changed, ask={"only": ["y"]}), places)
    assert ran[3:] == ["pca 0", "features_ae 0"]


def test_rows_of_one_experiment_share_it_and_long_ones_wait_until_they_are_asked_for(
    places, ran
) -> None:
    rows = [Row("a", "pca"), Row("b", "pca"), Row("c", "cifar10_vae", needs="two hours")]
    running.run(table_of(*rows), places)
    assert ran == ["pca 0"]
    running.run(table_of(*rows), places, whole=True)
    assert ran == ["pca 0", "cifar10_vae 0"]


def test_what_cannot_be_trained_is_told_and_a_signal_ends_all(places, monkeypatch) -> None:
    codes = {"recipes/cifar10_vae": 2, "recipes/pca": 0, "recipes/burda_vae": 130}
    measured = SimpleNamespace(figures={"probes": [Figure("accuracy", 0.9)]})
    monkeypatch.setattr(running, "main", lambda words: codes[words[2]])
    monkeypatch.setattr(running, "evaluate", lambda folder, **ask: measured)
    table = table_of(Row("a", "cifar10_vae"), Row("b", "pca"))
    assert running.run(table, places) == ["small: a, seed 0"]
    assert [r["experiment"] for r in places.found(table).values()] == ["pca"]
    with pytest.raises(SystemExit, match="130"):
        running.run(table_of(Row("c", "burda_vae"), Row("a", "cifar10_vae")), places)


def test_the_page_says_figures_spreads_differences_and_reasons(places, ran) -> None:
    rows = [
        Row("a", "pca", "--model.latent  3", published={ERROR.title: 10.0}, why="of seeds"),
        Row("b", "cifar10_vae", needs="two\nhours", published={ERROR.title: 5.0}),
        Row("c", "pca", seeds=(0,), instead={ERROR.title: "other"}),
    ]
    table = table_of(*rows, seeds=(0, 1), source="a paper")
    running.run(table, places)
    text = page.section(table, places.found(table))
    assert "Published: a paper" in text
    assert "| model | error, %: published | ours | difference |" in text
    assert "| a | 10.0 | 9.0 ± 1.4 | −1.0 |" in text
    assert "| b | 5.0 | not run | – |" in text
    assert "| c | – | – | – |" in text
    assert (
        "- a: `ae-lightning fit --config recipes/pca --model.latent 3`, seeds 0, 1; 3 s each. "
        "Why it differs: of seeds" in text
    )
    assert "- b: `ae-lightning fit --config recipes/cifar10_vae`, not run: two hours." in text
    assert "Made on a machine; torch 2." in text


def test_one_seed_alone_has_its_own_error_or_interval() -> None:
    figure = Figure("accuracy", 0.9, error=0.01)._asdict()
    assert page.value([figure], ERROR) == "10.0 ± 1.0"
    assert page.value([figure | {"interval": (0.88, 0.91)}], ERROR) == "10.0 (9.0 … 12.0)"
    assert page.value([figure | {"error": None}], ERROR) == "10.0"
    assert page.value([figure | {"value": 1.3, "error": None}], ERROR) == "−30.0"


def test_an_unknown_table_is_refused(capsys) -> None:
    with pytest.raises(SystemExit):
        tables.main(["lineer"])
    assert "lineer is no table: expected linear" in capsys.readouterr().err


@pytest.mark.usefixtures("small_sets")
def test_a_quick_try_trains_and_measures_every_recipe(capsys, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tables.ROOT)
    assert tables.main(["--quick"]) == 0
    text = capsys.readouterr().out
    for recipe in {row.recipe for _, row in ROWS if isinstance(row.recipe, str)}:
        assert f"`ae-lightning fit --config recipes/{recipe} " in text
    assert page.NOT_RUN not in text
