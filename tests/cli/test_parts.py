"""Systems and their parts by name: every way in which a user writes one says the same."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from ae_lightning.cli.main import main
from ae_lightning.cli.presets import with_parts
from helpers.attack import one_sentence

DIGITS = ("fit", "--config", "digits")
VAE = (*DIGITS, "--config", "vae")
RATE = "regularizers.rate.weight"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def printed(*args: str) -> dict[str, Any]:
    """The config that a command prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main([*args, "--print_config"]) == 0
    found: dict[str, Any] = yaml.safe_load(out.getvalue())
    return found


def at(tree: Any, path: str) -> Any:
    """What a config says of an option."""
    for name in path.split("."):
        tree = tree.get("init_args", tree)[name]
    return tree


SPELLINGS: list[Callable[[str, str], list[str]]] = [
    lambda path, value: [f"--model.{path}", value],
    lambda path, value: [f"--model.{path}={value}"],
    lambda path, value: [f"--model.init_args.{path}", value],
    lambda path, value: [f"--model.init_args.{path.replace('.', '.init_args.')}={value}"],
]


@pytest.mark.parametrize("spelt", SPELLINGS)
@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("likelihood.sigma", "0.1", 0.1),
        ("encoder.widths", "[64]", [64]),
        ("optimizer.lr", "0.5", 0.5),
        ("lr_schedule.epochs", "3", 3),
    ],
)
def test_a_systems_own_part_is_changed_without_its_class(
    spelt: Callable[[str, str], list[str]], path: str, value: str, found: object
) -> None:
    assert at(printed(*VAE, *spelt(path, value))["model"], path) == found


@pytest.mark.parametrize(
    "flags",
    [
        [f"--model.{RATE}", "4"],
        [f"--model.{RATE}=4"],
        ["--model.init_args.regularizers.rate.init_args.weight", "4"],
        ["--model.regularizers", "{rate: {init_args: {weight: 4}}}"],
        ["--model.regularizers.rate={init_args: {weight: 4}}"],
        ["--model", "{init_args: {regularizers: {rate: {init_args: {weight: 4}}}}}"],
        ["--config", "mine.yaml"],
    ],
)
def test_the_first_beta_that_everyone_tries(flags: list[str]) -> None:
    Path("mine.yaml").write_text(
        "model: {init_args: {regularizers: {rate: {init_args: {weight: 4}}}}}"
    )
    assert printed(*VAE, *flags) == printed(*VAE, f"--model.{RATE}", "4")
    assert at(printed(*VAE, *flags)["model"], RATE) == 4


@pytest.mark.parametrize(
    "flags",
    [
        ["--model", "VariationalAutoEncoder"],
        ["--model=VariationalAutoEncoder"],
        ["--model.class_path", "VariationalAutoEncoder"],
        ["--model.class_path=ae_lightning.VariationalAutoEncoder"],
        ["--model", "{class_path: VariationalAutoEncoder}"],
        ["--model", "SparseAutoEncoder", "--model", "VariationalAutoEncoder"],
        ["--config", "sparse", "--model.class_path=VariationalAutoEncoder"],
    ],
)
def test_a_system_by_its_bare_name_is_its_config(flags: list[str]) -> None:
    assert printed(*DIGITS, *flags) == printed(*VAE)


def test_a_part_in_anothers_place_has_its_own_defaults_wherever_it_is_named() -> None:
    Path("mine.yaml").write_text("model: {init_args: {optimizer: {class_path: torch.optim.SGD}}}")
    by_flag = printed(*VAE, "--model.optimizer", "SGD")
    assert by_flag == printed(*VAE, "--config", "mine.yaml")
    assert at(by_flag["model"], "optimizer.lr") == 1e-3  # torch's, not that of our Adam
    both = ["--model.optimizer.momentum", "0.9", "--model.optimizer", "SGD"]
    assert at(printed(*VAE, *both)["model"], "optimizer.momentum") == 0.9


@pytest.mark.parametrize(
    ("flags", "right"),
    [
        (["--model.regularizers.rat.weight", "4"], "did you mean model.regularizers.rate?"),
        (["--model.regularizers.rat.weight=4"], "did you mean model.regularizers.rate?"),
        (["--model.regularizers.con.weight", "4"], "as by --model.regularizers.con CLASS"),
        (["--model.prior.components", "3"], "model.prior, which has no class"),
        (["--model.regularizers.rate.weight.end", "3"], "as by --model.regularizers.rate.weight"),
        (["--data.corruption.sigma", "0.3"], "as by --data.corruption CLASS"),
        (["--model", "VAE"], "did you mean VariationalAutoEncoder?"),
        (["--model", "iwae"], "did you mean ImportanceWeightedAutoEncoder?"),
        (["--model.class_path", "IWAE"], "did you mean ImportanceWeightedAutoEncoder?"),
        (["--model.help", "VAE"], "model.help is VAE: did you mean VariationalAutoEncoder?"),
        (["--model.regularizers.help=rate"], "did you mean Rate?"),
        (["--max_epochs", "3"], "did you mean --trainer.max_epochs?"),
    ],
)
def test_what_names_no_part_is_told_the_nearest(
    flags: list[str], right: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*VAE, *flags]) == 2
    assert right in one_sentence(capsys.readouterr().err)


def test_networks_that_a_system_does_not_take_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*VAE, "--config", "conv", "--config", "linear"]) == 2
    assert "is not an option" in one_sentence(capsys.readouterr().err)


def test_a_class_that_only_others_build_on_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*DIGITS, "--model", "System"]) == 2
    assert "System is abstract" in one_sentence(capsys.readouterr().err)


def test_a_flag_for_a_named_part_is_left_to_the_parser() -> None:
    flags = ["--model.regularizers.rat", "Rate", "--model.regularizers.rat.weight=4"]
    assert with_parts({"model": {"class_path": "LinearAutoEncoder"}}, flags)[1] == flags


@pytest.mark.parametrize("command", ["validate", "test"])
def test_the_same_holds_of_a_runs_model(
    command: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = printed(command, "--run", "copy", f"--model.{RATE}", "4")
    assert at(record["model"], RATE) == 4
    assert main([command, "--run", "copy", "--model.regularizers.rat.weight=4"]) == 2
    assert "did you mean model.regularizers.rate?" in one_sentence(capsys.readouterr().err)
