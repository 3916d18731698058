"""Weights from another run: what fits is taken, and what does not is listed."""

from pathlib import Path

import pytest
import torch
import yaml

from ae_lightning import AutoEncoder, UndercompleteAutoEncoder, VariationalAutoEncoder
from ae_lightning.cli.main import main
from ae_lightning.core.errors import UsageError
from ae_lightning.nn import MLP
from helpers.attack import one_sentence
from helpers.runs import FIT

BEST = "copy/checkpoints/best.ckpt"
ONE = ("--trainer.max_steps", "1", "--trainer.logger", "false")


def test_all_weights_that_fit_are_taken_and_a_first_batch_leaves_them(copy: Path) -> None:
    there = AutoEncoder.load_from_checkpoint(BEST)
    model = VariationalAutoEncoder((1, 8, 8))
    assert model.init_from("copy") == []
    model.start(torch.rand(16, 1, 8, 8))
    ours, theirs = model.state_dict(), there.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_layers_of_another_shape_are_listed_and_their_part_starts_anew(copy: Path) -> None:
    there = AutoEncoder.load_from_checkpoint(BEST)
    model = VariationalAutoEncoder((1, 8, 8), latent=4)
    assert model.init_from(BEST) == ["encoder.layers.2", "decoder", "decoder.layers.0"]
    assert torch.equal(model.encoder.layers[1].weight, there.encoder.layers[1].weight)
    x = torch.rand(16, 1, 8, 8)
    model.start(x)
    assert torch.equal(model.encoder.mean, x.mean(0).flatten())


def test_nothing_that_fits_is_refused(copy: Path) -> None:
    with pytest.raises(UsageError, match="holds no layer that fits this model"):
        UndercompleteAutoEncoder((3, 5, 5), 3, encoder=MLP([3]), decoder=MLP([3])).init_from(BEST)


def test_a_run_says_what_was_not_taken_records_it_and_resumes_without_it(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = ["--init_from", "copy", "--model.latent", "4", "--run", "new", *ONE]
    assert main([*FIT, *new]) == 0
    source = str(copy)
    said = f"weights from {source}: but for encoder.layers.2, decoder, decoder.layers.0\n"
    assert said in capsys.readouterr().out
    assert yaml.safe_load(Path("new/config.yaml").read_text())["init_from"] == source
    assert main(["fit", "--run", "new", "--resume", "--trainer.max_steps", "2"]) == 0
    assert "weights from" not in capsys.readouterr().out
    auto = ["fit", "--run", "new", "--resume", "auto", "--init_from", "copy"]
    assert main([*auto, "--trainer.max_steps", "3"]) == 0
    assert "weights from" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "right"),
    [
        (["--init_from", "copy", "--run", "copy", "--resume"], "give one only"),
        (["--init_from", "nowhere"], "there is neither a run nor a checkpoint"),
        (["--init_from", "copy/config.yaml"], "is not a checkpoint"),
        (["--init_form", "copy"], "did you mean --init_from?"),
    ],
)
def test_a_wrong_source_is_one_sentence_and_leaves_no_run(
    flags: list[str], right: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, *flags]) == 2
    assert right in one_sentence(capsys.readouterr().err)
    assert not Path("runs").exists() or not list(Path("runs").iterdir())
