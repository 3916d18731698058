"""A wrong use is one sentence on stderr and exit code 2, and leaves no directory behind."""

from pathlib import Path

import pytest

from ae_lightning.cli.main import main

GOOD = (
    *("fit", "--config", "vae", "--config", "digits"),
    *("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1"),
)
FILES = {
    "bad.yaml": "model: [1,\n  - a: b: c",
    "option.yaml": "trainer: {max_epoch: 3}",
    "section.yaml": "trainr: {max_epochs: 3}",
    "argument.yaml": "model: {init_args: {latnt: 3}}",
    "nested.yaml": "model: {init_args: {regularizers: {a: {class_path: "
    "ae_lightning.regularizers.L1, init_args: {wieght: 3}}}}}",
    "class.yaml": "model: {init_args: {regularizers: {a: {class_path: "
    "ae_lightning.regularizers.L11}}}}",
    "type.yaml": "model: {init_args: {latent: big}}",
    "flat.yaml": "model: {latent: 3}",
    "number.yaml": "model: 3",
    "seed.yaml": "model: {init_args: {seed: 3}}",
    "callback.yaml": "trainer: {callbacks: {monitor: val/loss}}",
    "syntax_error.py": "def (:\n",
    "kinds.py": "from enum import Enum\nfrom ae_lightning.regularizers import L1\n"
    "Kind = Enum('Kind', 'low high')\nclass Kinded(L1):\n"
    "    def __init__(self, kind: Kind = Kind.low): super().__init__()\n",
}
CON = "--model.init_args.regularizers.con"
WRONG = {
    "config": (["--config", "vea"], "vea", "did you mean vae?"),
    "yaml": (["--config", "bad.yaml"], "bad.yaml, line 2", "not YAML"),
    "option in yaml": (["--config", "option.yaml"], "trainer.max_epoch", "trainer.max_epochs?"),
    "section in yaml": (["--config", "section.yaml"], "trainr.max_epochs", "trainer.max_epochs?"),
    "argument in yaml": (["--config", "argument.yaml"], "model.latnt", "did you mean latent?"),
    "deep in yaml": (
        ["--config", "nested.yaml"],
        "model.regularizers.*.wieght",
        "did you mean weight?",
    ),
    "class in yaml": (["--config", "class.yaml"], "regularizers.L11", "did you mean L1?"),
    "type in yaml": (["--config", "type.yaml"], "model.latent is big", "a whole number"),
    "flat yaml": (["--config", "flat.yaml"], "model.latent", "under init_args"),
    "number for a class": (["--config", "number.yaml"], "model is 3", "AutoEncoder"),
    "seed in yaml": (["--config", "seed.yaml"], "model.init_args.seed", "seed_everything"),
    "option": (["--trainer.max_epoch", "3"], "--trainer.max_epoch ", "--trainer.max_epochs?"),
    "option with =": (["--trainer.max_epoch=3"], "--trainer.max_epoch ", "--trainer.max_epochs?"),
    "section": (["--modle.latent", "3"], "--modle.latent", "did you mean --model.latent?"),
    "argument": (["--model.latnt", "3"], "model.latnt", "did you mean latent?"),
    "part's argument": (["--model.encoder.width", "[3]"], "encoder.width", "did you mean widths?"),
    "data's argument": (["--data.batchsize", "3"], "data.batchsize", "did you mean batch_size?"),
    "type": (["--trainer.max_epochs", "many"], "max_epochs is many", "a whole number"),
    "list": (
        ["--model.encoder.widths", "seven"],
        "encoder.widths is seven",
        "a list of whole numbers",
    ),
    "item": (["--model.encoder.widths", "[1.5]"], "encoder.widths", "a list of whole numbers"),
    "choice": (["--checkpoints.mode", "least"], "checkpoints.mode is least", "min"),
    "part": (["--model.encoder", "MPL"], "model.encoder is MPL", "did you mean MLP?"),
    "system": (["--model", "Variational"], "Variational", "did you mean VariationalAutoEncoder?"),
    "data": (["--data", "Digitss"], "data is Digitss", "did you mean Digits?"),
    "optimizer": (["--model.optimizer", "SDG"], "optimizer is SDG", "did you mean SGD?"),
    "penalty": ([CON, "Contractiv"], "regularizers.con is Contractiv", "did you mean Contractive?"),
    "number or part": (
        ["--model.regularizers.rate.weight", "four"],
        "rate.weight is four",
        "expected a number or one of Constant",
    ),
    "number for a part": (
        ["--model.regularizers.rate", "4"],
        "--model.regularizers.rate is 4",
        "expected the name of a class; its arguments are set like --model.regularizers.rate.",
    ),
    "member": ([CON, "kinds.Kinded", f"{CON}.kind", "mid"], "con.kind is mid", "one of high, low"),
    "arguments of no class": (
        ["--config", "callback.yaml"],
        "trainer.callbacks.*.monitor is not an option",
        "there are none here.",
    ),
    "no subclass": (["--model", "torch.nn.Linear"], "torch.nn.Linear", "expected AutoEncoder"),
    "no module": ([CON, "nowhere.R"], "nowhere.R", "No module named 'nowhere'"),
    "broken module": ([CON, "syntax_error.R"], "syntax_error.R", "invalid syntax"),
    "linked": (["--model.seed", "7"], "model.init_args.seed", "seed_everything"),
    "value": (["--model.latent", "0"], "latent 0", "at least 1"),
    "batch size": (["--data.batch_size", "0"], "batch_size is 0", "at least 1"),
    "strategy": (["--trainer.strategy", "dpp"], "strategy='dpp'", " ddp,"),
    "accelerator": (["--trainer.accelerator", "cdua"], "accelerator='cdua'", " cuda"),
    "monitor": (["--checkpoints.monitor", "val/lss"], "val/lss", "did you mean val/loss?"),
    "no backbone": (
        ["--trainer.callbacks", "lightning.pytorch.callbacks.BackboneFinetuning"],
        "'VariationalAutoEncoder' object",
        "no attribute 'backbone'",
    ),
    "no value": (["--trainer.max_epochs"], "--trainer.max_epochs", "expected one argument"),
    "stray": (["stray"], "stray", "not an option"),
    "abbreviation": (["--resum"], "--resum", "did you mean --resume?"),
    "resume where": (["--resume"], "--resume", "name it by --run"),
    "resume nothing": (["--run", "nowhere", "--resume"], "nowhere is not a run", "config.yaml"),
    "no directory": (["--run", "bad.yaml/run"], "bad.yaml/run", "a run cannot be kept"),
    "clean pairs": (["--model", "DenoisingAutoEncoder"], "clean pairs", "GaussianNoise"),
}


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import sys

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    for name, text in FILES.items():
        Path(name).write_text(text)
    return tmp_path


def sentence(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Run a wrong command, and return the one line that it leaves on stderr."""
    assert main(args) == 2
    said = [s for s in capsys.readouterr().err.splitlines() if s.startswith("ae-lightning: ")]
    assert len(said) == 1
    assert len(said[0]) < 400
    return said[0].removeprefix("ae-lightning: ")


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_fit_is_one_sentence(
    case: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args, wrong, right = WRONG[case]
    said = sentence(capsys, *GOOD, *args)
    assert wrong in f"{said} "
    assert right in said
    assert {p.name for p in files.iterdir()} - {"__pycache__"} == set(FILES)


@pytest.mark.parametrize(
    ("args", "right"),
    [
        (["fit"], "--data, --model must be given, as by --config vae"),
        (["fit", "--config", "vae"], "--data must be given"),
        (["fit", "--config", "digits"], "--model must be given"),
        (["fit", "--config"], "expected one argument"),
        (["fti"], "did you mean fit?"),
        (["frobnicate"], "the commands are fit"),
        (["validate"], "--ckpt_path FILE and --run DIR"),
        (["test", "--run", "nowhere"], "nowhere is not a run"),
        (["test", "--ckpt", "x"], "--ckpt is not an option"),
        (["validate", "--ckpt_path", "none.ckpt"], "there is no checkpoint none.ckpt"),
        (["validate", "--ckpt_path", "flat.yaml"], "flat.yaml is not a checkpoint"),
        (["plot", "nowhere"], "there is neither a run nor a checkpoint nowhere"),
        (["summary"], "summary: run must be given"),
        (["summary", "nowhere"], "nowhere is not a run"),
        (["configs", "--foo"], "configs: --foo is not an option"),
    ],
)
def test_every_other_wrong_use_is_one_sentence(
    args: list[str], right: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert right in sentence(capsys, *args)
    assert {p.name for p in files.iterdir()} == set(FILES)


def test_the_attributes_of_parsers_that_names_and_types_come_from_are_there() -> None:
    """They are private to argparse and jsonargparse, and read in messages.options_of alone."""
    from jsonargparse import ArgumentParser

    from ae_lightning.cli.messages import options_of

    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--number", type=int | None)
    inner = ArgumentParser(exit_on_error=False)
    inner.add_argument("--inner.mode", type=str)
    parser.add_subcommands().add_subcommand("fit", inner)
    found = dict(options_of(parser))
    moved = "argparse's _actions and choices, or jsonargparse's _typehint, have moved"
    assert found.get("number") == int | None, moved
    assert "inner.mode" in found, moved


def test_debug_shows_where_an_error_arose(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*GOOD, "--model.latent", "0"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert main([*GOOD, "--model.latent", "0", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_what_is_unexpected_is_one_line_and_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ae_lightning.cli import fit

    def broken(*args: object) -> None:
        raise RuntimeError("out of\nluck")

    monkeypatch.setattr(fit, "Fit", broken)
    assert main(GOOD) == 1
    assert capsys.readouterr().err == (
        "ae-lightning: unexpected RuntimeError: out of luck (--debug shows where)\n"
    )
    with pytest.raises(RuntimeError, match="luck"):
        main([*GOOD, "--debug"])
